import re

import altair as alt
import polars as pl

from analysis.report import tables

TABLE = pl.DataFrame(
    {"model": ["gcnn", "a|<b>"], "eps": [0.1, 0.25], "accuracy": [0.98765, None], "n": [3_000, 10]}
)


def test_markdown_is_for_people():
    assert tables.markdown(TABLE) == (
        "| model | eps | accuracy (%) | n |\n"
        "|---|---:|---:|---:|\n"
        "| gcnn | 0.1 | 98.77 | 3,000 |\n"
        "| a\\|\\<b\\> | 0.25 |  | 10 |\n"
    )


def test_markdown_prints_every_cell_as_it_is_in_one_row():
    cells = ["a\\|b", "*x*", "`c`", "_d_ my_net", "[l](u)", "two\nlines", "&lt;", "~~s~~"]
    text = tables.markdown(pl.DataFrame({"word": cells}))
    rows = text.splitlines()[2:]
    assert len(rows) == len(cells)
    bare = re.compile(r"\\(?=[^a-z\s])")
    shown = [bare.sub("", row.removeprefix("| ").removesuffix(" |")) for row in rows]
    assert shown[1:5] == cells[1:5]
    assert shown[5] == "two lines"
    assert r"my_net" in rows[3]
    assert all(not re.search(r"(?<!\\)[*`\[\]<>&~]", row) for row in rows)


def test_csv_has_full_precision():
    assert tables.csv(TABLE).splitlines()[:2] == ["model,eps,accuracy,n", "gcnn,0.1,0.98765,3000"]


def test_latex_has_the_rules_of_booktabs_and_escapes():
    assert tables.latex(TABLE) == (
        "% needs \\usepackage{booktabs}\n"
        "\\begin{tabular}{lrrr}\n"
        "\\toprule\n"
        "model & eps & accuracy (\\%) & n \\\\\n"
        "\\midrule\n"
        "gcnn & 0.1 & 98.77 & 3,000 \\\\\n"
        "a\\textbar{}\\textless{}b\\textgreater{} & 0.25 &  & 10 \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
    )


def test_whatever_stands_in_a_cell_latex_has_as_many_columns_and_closed_braces():
    hard = "".join(map(chr, range(32, 127))) + "±90°"
    table = pl.DataFrame({"a_b&%": [hard, ""], "x": [-0.5, None], "ok": [True, False]})
    text = tables.latex(table)
    bare = re.sub(r"\\[&%$#_{}]", "", text)  # without escaped characters
    rows = [line for line in bare.splitlines() if line.endswith(r"\\")]
    assert [row.count("&") for row in rows] == [2, 2, 2]
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert not re.search(r"[~^#]", bare.replace("$^{", ""))
    assert re.findall(r"\\begin{tabular}{(.*)}", text) == ["lrl"]
    assert "& $-$0.5 & yes" in text


def test_html_is_escaped_and_names_units():
    text = tables.as_html(TABLE)
    assert "<td>a|&lt;b&gt;</td>" in text
    assert 'title="eps (in eps_unit)">eps</th>' in text
    assert text.count("<tr>") == 3
    assert text.count('<td class="number">') == 6


def test_the_table_of_a_figure_lacks_what_only_serves_the_drawing():
    chart = alt.concat(data=TABLE.with_columns(_label=pl.lit("x")))
    assert tables.of(chart).columns == TABLE.columns
    assert tables.of(alt.concat()) is None
