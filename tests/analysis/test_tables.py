import altair as alt
import polars as pl

from analysis import tables

TABLE = pl.DataFrame(
    {"model": ["gcnn", "a|<b>"], "eps": [0.1, 0.25], "accuracy": [0.98765, None], "n": [3_000, 10]}
)


def test_markdown_is_for_people():
    assert tables.markdown(TABLE) == (
        "| model | eps | accuracy (%) | n |\n"
        "|---|---:|---:|---:|\n"
        "| gcnn | 0.1 | 98.77 | 3,000 |\n"
        "| a\\|<b> | 0.25 |  | 10 |\n"
    )


def test_csv_has_full_precision():
    assert tables.csv(TABLE).splitlines()[:2] == ["model,eps,accuracy,n", "gcnn,0.1,0.98765,3000"]


def test_html_is_escaped_and_names_units():
    text = tables.as_html(TABLE)
    assert "<td>a|&lt;b&gt;</td>" in text
    assert 'title="eps (L-inf, in eps_unit)">eps</th>' in text
    assert text.count("<tr>") == 3


def test_the_table_of_a_figure_lacks_what_only_serves_the_drawing():
    chart = alt.concat(data=TABLE.with_columns(_label=pl.lit("x")))
    assert tables.of(chart).columns == TABLE.columns
    assert tables.of(alt.concat()) is None
