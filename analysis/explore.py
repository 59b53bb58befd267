# ruff: noqa: ANN001, ANN202, B018
# mypy: disable-error-code="no-untyped-def"
"""A notebook on the rows: `marimo edit analysis/explore.py -- --results results/quick`.

Without a window: `python -m analysis.explore -- --results results/quick`. Needs the extra
`notebook`.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="rotgrid")

with app.setup:
    import sys
    from pathlib import Path

    sys.path.append(str(Path(__file__).resolve().parent.parent))

    import altair as alt
    import marimo as mo
    import polars as pl

    from analysis.claims import records, verdicts
    from analysis.figures import layers, panels, theme
    from analysis.figures.registry import FIGURES
    from analysis.rows import vocabulary
    from analysis.rows.loading import gather
    from analysis.rows.selection import CannotShow, NotMeasured, comparable
    from analysis.stats.summary import summary


@app.cell
def _():
    mo.md("""
    # Robust to rotations, robust to adversarial pixels?

    Choose results and look at their rows; every number comes with its n, its seeds and its
    interval. The figures and verdicts are those of the report.
    """)
    return


@app.cell
def _():
    given = mo.cli_args().get("results") or "results/quick"
    place = mo.ui.text(value=str(given), label="Results", full_width=True)
    place
    return (place,)


@app.cell
def _(place):
    loaded = gather(place.value)
    rows = loaded.rows
    mo.vstack(
        [
            mo.md(f"{rows.height:,} measurements of {rows['trial'].n_unique():,} networks"),
            mo.accordion(
                {f"{len(loaded.problems)} problems": mo.plain_text("\n".join(loaded.problems))}
            ),
        ]
    )
    return loaded, rows


@app.cell
def _(rows):
    models = mo.ui.multiselect(
        vocabulary.in_order(rows["model"]),
        value=vocabulary.in_order(rows["model"]),
        label="Models",
    )
    measured = vocabulary.in_order(rows["attack"], vocabulary.ATTACKS)
    attack = mo.ui.dropdown(measured, value=next(iter(measured), None), label="Attack")
    across = mo.ui.dropdown(
        ["test_rotation", "train_rotation", "eps", "train_size"],
        value="test_rotation",
        label="Across",
    )
    mo.hstack([models, attack, across], justify="start")
    return across, attack, models


@app.cell
def _(across, attack, models, rows):
    chosen = rows.filter(pl.col("attack") == attack.value, pl.col("model").is_in(models.value))
    alike, notes = comparable(chosen, all_variants=True) if len(chosen) else (chosen, [])
    cells = ["model", "variant", "adversary", "train_size", "train_rotation", "test_rotation"]
    table = summary(alike, [*cells, "attack", "eps", "eps_unit"])
    mo.vstack([mo.plain_text("\n".join(map(str, notes))), mo.ui.table(table)])
    return (table,)


@app.cell
def _(across, table):
    x = alt.X(f"{across.value}:Q", title=theme.title(across.value))
    colour = layers.model_encodings(table["model"])["color"]
    base = alt.Chart(table.sort("n").head(panels.MOST_ROWS)).encode(x, color=colour)
    chart = base.mark_point(filled=True, size=60).encode(
        alt.Y("accuracy:Q", title=theme.title("accuracy"), scale=alt.Scale(domain=[0, 1])),
        shape="adversary:N",
        tooltip=layers.tooltip(table.columns),
    ) + base.mark_rule().encode(alt.Y("lower:Q", title=""), alt.Y2("upper"))
    mo.ui.altair_chart(chart.properties(width=600, height=360))
    return (chart,)


@app.cell
def _():
    name = mo.ui.dropdown(
        {figure.heading: name for name, figure in FIGURES.items()},
        value=next(iter(FIGURES.values())).heading,
        label="Figure",
    )
    name
    return (name,)


@app.cell
def _(loaded, name, rows):
    try:
        _needs = (getattr(loaded, table) for table in FIGURES[name.value].needs)
        figure = FIGURES[name.value].draw(rows, *_needs)
    except (NotMeasured, CannotShow) as error:
        figure = mo.plain_text(f"Not drawn: {error}")
    figure
    return (figure,)


@app.cell
def _(rows):
    outcomes = verdicts.judge(rows)
    mo.md(records.as_markdown(outcomes))
    return (outcomes,)


if __name__ == "__main__":
    app.run()
