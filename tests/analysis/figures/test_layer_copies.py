import altair as alt

from analysis.figures.layers import Layer


def test_copies_share_what_is_never_changed_and_changes_make_another_layer():
    layer = Layer().mark_point().encode(x=alt.X("eps:Q", axis=dict(values=[0.1, 0.2])))
    moved = layer.encode(x=alt.X("n:Q")).transform_filter("datum.n > 1")
    panel = alt.layer(layer, moved).copy()
    assert panel.layer[0].encoding is layer.encoding
    first, second = panel.to_dict()["layer"]
    assert first["encoding"]["x"]["axis"] == {"values": [0.1, 0.2]}
    assert "transform" not in first
    assert second["encoding"]["x"]["field"] == "n"
    assert second["transform"] == [{"filter": "datum.n > 1"}]
