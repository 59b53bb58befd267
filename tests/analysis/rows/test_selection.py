import polars as pl
import pytest

from analysis.rows import selection, versions
from analysis.rows.notes import LeftOut, OtherVariants
from rotgrid.spec import Probe, Trial
from rotgrid.spec.recipes import FAST

from made_up import frame, row, study


def test_where_names_what_is_missing(full):
    with pytest.raises(selection.NotMeasured, match=r"^needs rows with model hnet$"):
        selection.where(full, "model hnet", pl.col("model") == "hnet")


def test_at_least_two_names_what_there_is(full):
    single = full.filter(pl.col("test_rotation") == 20)
    with pytest.raises(selection.NotMeasured, match=r"two values of test_rotation .*: 20\)"):
        selection.at_least_two(single, "test_rotation", "rows")


def test_main_variants_are_those_of_table_1_or_else_the_most_frequent():
    kinds = [("gcnn", "table1"), ("gcnn", "orbit"), ("gcnn", "orbit")]
    kinds += [("stdcnn", "doubled"), ("stdcnn", "doubled"), ("stdcnn", "matched-table1")]
    kinds += [("hnet", "2018")]
    rows = pl.DataFrame(kinds, schema=["model", "variant"], orient="row")
    main = {"stdcnn": "doubled", "gcnn": "table1", "hnet": "2018"}
    assert list(selection.main_variants(rows).items()) == list(main.items())
    kept, notes = selection.one_variant(rows)
    assert set(kept.iter_rows()) == set(main.items())
    assert notes == [OtherVariants({"stdcnn": "doubled", "hnet": "2018"}, {})]


def test_of_an_own_model_the_unnamed_variant_is_the_first_and_a_single_other_needs_no_note():
    kinds = [("a:one", "wide"), ("b:two", ""), ("b:two", "wide"), ("b:two", "wide")]
    kinds += [("c:three", "deep"), ("c:three", "wide"), ("c:three", "wide")]
    rows = pl.DataFrame(kinds, schema=["model", "variant"], orient="row")
    kept, notes = selection.one_variant(rows)
    assert set(kept.iter_rows()) == {("a:one", "wide"), ("b:two", ""), ("c:three", "wide")}
    assert notes == [OtherVariants({"c:three": "wide"}, {})]


def test_own_recipes_of_other_contents_are_not_put_together():
    texts = [FAST.model_copy(update={"weight_decay": w}).model_dump_json() for w in (0.1, 0.2)]
    trials = [
        Trial(model="gcnn", recipe="mine", recipe_settings=texts[0], seed=seed) for seed in (0, 1)
    ]
    trials.append(Trial(model="stdcnn", recipe="mine", recipe_settings=texts[1]))
    rows, notes = selection.comparable(frame([row(t, Probe(test_rotation=0.0)) for t in trials]))
    assert set(rows["model"]) == {"gcnn"}
    assert str(notes[0]) == (
        "Shown: settings like fast but weight_decay 0.1. Left out: 1 row with settings like fast "
        "but weight_decay 0.2."
    )


def test_one_row_of_the_first_variant_does_not_hide_another():
    """A study of `narrow` capsules, and one network of `table`, tested once."""
    narrow = study([("capsnet", "narrow")], (0, 60), ("none",), (0,), eps=())
    first = study([("capsnet", "table")], (0,), ("none",), (0, 1), test_rotations=(0,), eps=())
    kept, notes = selection.one_variant(frame([*narrow, *first]))
    assert set(kept["variant"]) == {"narrow"}
    assert notes == [OtherVariants({"capsnet": "narrow"}, {"capsnet": "table"})]
    half = study([("capsnet", "table")], (0,), ("none",), (0,), eps=())
    kept, notes = selection.one_variant(frame([*narrow, *half]))
    assert set(kept["variant"]) == {"table"}
    assert notes == []


def test_comparable_keeps_one_setting_and_says_what_it_left_out():
    many = study(models=[("gcnn", "table1")], data="mnist5k")
    few = study(models=[("gcnn", "table1")], seeds=(0,), data="mnist")
    rows, notes = selection.comparable(frame(few + many))
    assert set(rows["data"]) == {"mnist5k"}
    kept, left = (
        dict(zip(("train_size", "data"), values, strict=True))
        for values in ((3_500, "mnist5k"), (55_000, "mnist"))
    )
    assert notes == [LeftOut(len(few), {}, kept, left)]


def test_what_a_recipe_sets_for_each_model_does_not_part_them():
    trials = [Trial(model="gcnn", recipe="fast", epochs=8)]
    trials += [Trial(model="hnet", recipe="fast", epochs=epochs) for epochs in (16, 10)]
    trials += [Trial(model="gcnn", recipe="fast", epochs=8, learning_rate=0.5)]
    rows, notes = selection.comparable(frame([row(t, Probe(test_rotation=0.0)) for t in trials]))
    assert rows["model"].to_list() == ["gcnn", "hnet"]
    assert rows["epochs"].to_list() == [8, 16]  # both twice the recipe's
    assert rows["learning_rate"].to_list() == [0.005, 0.001]
    assert [(note.height, note.left) for note in notes] == [
        (1, {"epochs": 10}),
        (1, {"learning_rate": 0.5}),
    ] or [(note.height, note.left) for note in notes] == [
        (1, {"learning_rate": 0.5}),
        (1, {"epochs": 10}),
    ]


def test_models_trained_as_their_authors_did_are_comparable():
    trials = [Trial(model=m, recipe="original") for m in ("gcnn", "hnet", "ptn")]
    rows, notes = selection.comparable(frame([row(t, Probe(test_rotation=0.0)) for t in trials]))
    assert rows["batch_size"].to_list() == [64, 46, 200]
    assert notes == []


def test_a_recipe_stays_what_it_is_called_beside_others_who_follow_it():
    trials = [Trial(model="hnet", recipe="original"), Trial(model="gcnn"), Trial(model="hnet")]
    rows, notes = selection.comparable(frame([row(t, Probe(test_rotation=0.0)) for t in trials]))
    assert rows["recipe"].to_list() == ["paper", "paper"]
    assert notes[0].left["recipe"] == "original"


def test_comparable_keeps_one_protocol_per_attack():
    trial = Trial(model="gcnn", data="mnist5k")
    probes = [Probe(attack="pgd", eps=eps, steps=40) for eps in (0.1, 0.2)]
    probes += [Probe(attack="pgd", eps=0.1, steps=10), Probe(test_rotation=0.0, n_images=50)]
    rows, notes = selection.comparable(frame([row(trial, probe) for probe in probes]))
    assert sorted(rows["steps"]) == [0, 40, 40]
    assert notes == [LeftOut(1, {"attack": "pgd"}, {"steps": 40}, {"steps": 10})]


def test_comparable_prefers_more_images_among_equally_frequent_protocols():
    trial = Trial(model="gcnn", data="mnist5k")
    probes = [Probe(test_rotation=0.0, n_images=n) for n in (50, 900, 100)]
    rows, _ = selection.comparable(frame([row(trial, probe) for probe in probes]))
    assert rows["n"].to_list() == [900]


def test_every_field_of_a_probe_is_shown_or_shared():
    shared = {*selection.PROTOCOL, "test_translation", "eps_unit", "clip", "mode"}
    shared |= {"threat"}
    shared |= {*versions.VERSION}.intersection(Probe.model_fields)
    assert shared | {"attack", "eps", "test_rotation"} == set(Probe.model_fields)


@pytest.mark.parametrize(
    ("usual", "unusual"),
    [
        ({"loss": "ce"}, {"loss": "margin"}),
        ({"label_rule": "true"}, {"label_rule": "predicted"}),
        ({"eps_unit": "pixel"}, {"eps_unit": "normalised"}),
        ({"clip": "pixel"}, {"clip": "none"}),
        ({"mode": "eval"}, {"mode": "train"}),
        ({"threat": "linf"}, {"threat": "l2"}),
        ({"test_translation": 0.0}, {"test_translation": 3.0}),
    ],
)
def test_of_equally_frequent_protocols_the_usual_one_is_kept(usual, unusual):
    trial = Trial(model="gcnn", data="mnist5k")
    probes = [Probe(attack="pgd", eps=0.1, **fields) for fields in (unusual, usual)]
    ((name, value),), (other,) = usual.items(), unusual.values()
    rows, notes = selection.comparable(frame([row(trial, probe) for probe in probes]))
    assert rows[name].to_list() == [value]
    assert (notes[0].height, notes[0].left) == (1, {name: other})
    probes.append(probes[0].model_copy(update={"eps": 0.2}))
    rows, notes = selection.comparable(frame([row(trial, probe) for probe in probes]))
    assert rows[name].to_list() == [other] * 2
    assert (notes[0].height, notes[0].left) == (1, {name: value})


def test_units_of_eps_are_never_mixed_across_attacks():
    trial = Trial(model="gcnn", data="mnist5k")
    probes = [Probe(attack="pgd", eps=eps, eps_unit="normalised") for eps in (0.1, 0.3)]
    probes += [Probe(attack="fgsm", eps=0.1), Probe()]
    rows, notes = selection.comparable(frame([row(trial, probe) for probe in probes]))
    assert sorted(rows["attack"]) == ["none", "pgd", "pgd"]
    assert notes == [LeftOut(1, {}, {"eps_unit": "normalised"}, {"eps_unit": "pixel"})]


def test_modes_are_never_mixed_across_attacks_and_clippings_neither():
    trial = Trial(model="gcnn", data="mnist5k")
    pgd = [Probe(attack="pgd", eps=eps, mode="train") for eps in (0.1, 0.2, 0.3)]
    probes = [*pgd, Probe(), Probe(mode="train"), Probe(attack="strong", eps=0.1)]
    rows, notes = selection.comparable(frame([row(trial, probe) for probe in probes]))
    assert sorted(rows["attack"]) == ["none", "pgd", "pgd", "pgd"]
    assert set(rows["mode"]) == {"train"}
    assert notes == [
        LeftOut(2, {}, {"mode": "train"}, {"mode": "eval"}),
    ]
    probes = [probe.model_copy(update={"mode": "eval", "clip": "none"}) for probe in pgd]
    probes += [Probe(), Probe(attack="strong", eps=0.1)]
    rows, notes = selection.comparable(frame([row(trial, probe) for probe in probes]))
    assert sorted(rows["attack"]) == ["none", "pgd", "pgd", "pgd"]
    assert notes == [LeftOut(1, {}, {"clip": "none"}, {"clip": "pixel"})]


def test_networks_trained_on_shifted_images_are_not_shown_beside_others():
    trials = [Trial(model=m, data="mnist5k") for m in ("stdcnn", "gcnn")]
    trials.append(trials[0].model_copy(update={"train_translation": 2.0}))
    rows, notes = selection.comparable(frame([row(trial, Probe()) for trial in trials]))
    assert set(rows["train_translation"]) == {0.0}
    assert notes == [LeftOut(1, {}, {"train_translation": 0.0}, {"train_translation": 2.0})]


def test_shifts_are_never_mixed_across_attacks():
    trial = Trial(model="gcnn", data="mnist5k")
    probes = [Probe(attack="pgd", eps=eps) for eps in (0.1, 0.3)]
    probes += [Probe(test_translation=3.0), Probe(test_translation=2.0)]
    rows, notes = selection.comparable(frame([row(trial, probe) for probe in probes]))
    assert rows["attack"].to_list() == ["pgd", "pgd"]
    assert len(notes) == 2
