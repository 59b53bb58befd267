# /// script
# [tool.marimo.display]
# theme = "system"
# ///
# ruff: noqa: ANN001, ANN201, ANN202, B018
# mypy: disable-error-code="no-untyped-def"
"""The app of `rotgrid explore RESULTS`, a notebook: `marimo edit analysis/explorer/app.py --
--results RESULTS`. Without a window: `python -m analysis.explorer.app -- --results RESULTS`.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="rotgrid", css_file="app.css")

with app.setup:
    import html
    import sys
    from pathlib import Path

    sys.path.append(str(Path(__file__).resolve().parents[2]))

    import altair as alt
    import marimo as mo

    from analysis.claims import records, verdicts
    from analysis.explorer import charts, choices, downloads, origin, points
    from analysis.figures.registry import FIGURES, shows
    from analysis.report import gallery
    from analysis.rows.loading import gather
    from analysis.rows.progress import in_words
    from analysis.rows.selection import CannotShow, NotMeasured

    _no_menu = alt.renderers.set_embed_options(actions=False)

    def text(words):
        """Words as they are, wrapped."""
        return mo.Html("".join(f"<p>{html.escape(line)}</p>" for line in words.splitlines()))


@app.cell
def _():
    given = mo.cli_args().get_all("results") or ["results/quick"]
    places = [str(_place) for _place in given]
    again = mo.ui.button(label="Read again")
    _title = "rotgrid: " + ", ".join(Path(place).name for place in places)
    mo.vstack([mo.md(f"# {_title}"), again])
    return again, places


@app.cell
def _(again, places):
    again
    loaded = gather(*places)
    rows = choices.with_measures(loaded.rows, loaded.training)
    _problems = f"Problems: {len(loaded.problems)}"
    mo.vstack(
        [
            text(
                f"{rows.height:,} measurements of {rows['trial'].n_unique():,} networks. "
                + in_words(loaded.progress, done_then="Read")
            ),
            mo.accordion({_problems: text("\n".join(loaded.problems) or "None.")}),
        ]
    )
    return loaded, rows


@app.cell
def _(rows):
    _fields = {name: choices.values(rows, name) for name in choices.varying(rows)}
    _first = {"attack": [choices.words("attack", choices.first_attack(rows))]}
    _first = {name: some for name, some in _first.items() if name in _fields}
    filters = mo.ui.dictionary(
        {
            name: mo.ui.multiselect(some, value=_first.get(name, ()), label=choices.title(name))
            for name, some in _fields.items()
        }
    )
    _every = filters.elements
    _main = [_every[name] for name in _every if name in choices.FIRST]
    _more = [_every[name] for name in _every if name not in choices.FIRST]
    mo.vstack(
        [
            mo.md("## Rows\n\nNothing chosen in a field is everything."),
            mo.hstack(_main, justify="start", wrap=True),
            mo.accordion({"More fields": mo.hstack(_more, justify="start", wrap=True)})
            if _more
            else mo.md(""),
        ]
    )
    return (filters,)


@app.cell
def _(rows):
    _options = choices.axes(rows)
    _names = {column: label for label, column in _options.items()}
    _none = {"(none)": "", **_options}
    _x = choices.first_axis(rows)
    _facet = choices.first_facet(
        rows.filter(attack=choices.first_attack(rows)), ("model", "variant", _x)
    )
    _y = _names.get("accuracy", next(iter(_options), None))
    _first = {
        "x": (_options, _names.get(_x)),
        "y": (_options, _y),
        "colour": (_none, _names.get("model", "(none)")),
        "facet": (_none, _names.get(_facet, "(none)")),
    }
    axes = mo.ui.dictionary(
        {
            name: mo.ui.dropdown(some, value=first, label=name.capitalize(), full_width=True)
            for name, (some, first) in _first.items()
        }
    )
    _controls = "".join(f"<div>{each}</div>" for each in axes.elements.values())
    mo.vstack([mo.md("## Picture"), mo.Html(f'<div class="controls">{_controls}</div>')])
    return (axes,)


@app.cell
def _(axes, filters, rows):
    chosen = choices.chosen(rows, filters.value)
    mo.stop(chosen.is_empty(), mo.callout("No row is of all that is chosen.", kind="warn"))
    drawn_as = charts.Axes(**{name: value or "" for name, value in axes.value.items()})
    found = points.points(chosen, drawn_as.used())
    return chosen, drawn_as, found


@app.cell
def _(drawn_as, found):
    try:
        _charts, _problem = charts.charts(found, drawn_as), ""
    except (NotMeasured, CannotShow) as error:
        _charts, _problem = {}, f"Not drawn: {error}"
    pictures = mo.ui.array([mo.ui.altair_chart(each) for each in _charts.values()])
    _heads = [f"{choices.title(drawn_as.facet)}: {label}" if label else "" for label in _charts]
    _parts = [
        f"<section><h3>{html.escape(head)}</h3>{picture}</section>"
        for head, picture in zip(_heads, pictures.elements, strict=True)
    ]
    mo.vstack(
        [
            text(_problem or charts.caption(found, drawn_as)),
            mo.Html(f'<div class="panels" data-count="{len(_parts)}">{"".join(_parts)}</div>'),
        ]
    )
    return (pictures,)


@app.cell
def _(found):
    table = points.table(found)
    mo.vstack(
        [
            mo.hstack(
                [
                    mo.download(lambda: downloads.csv(table), filename="points.csv", label="CSV"),
                    mo.download(
                        lambda: downloads.parquet(table),
                        filename="points.parquet",
                        mimetype="application/vnd.apache.parquet",
                        label="Parquet",
                    ),
                ],
                justify="start",
            ),
            mo.accordion({f"Table of the {table.height:,} points": mo.ui.table(table)}),
        ]
    )
    return (table,)


@app.cell
def _(chosen, found, pictures, places, rows):
    _numbers = [
        number for picture in pictures.elements for number in charts.picked(picture.selections)
    ]
    behind = points.rows_of(chosen, found, _numbers)
    commands = origin.relaunch_commands(places, behind) if _numbers else []
    _text = "\n".join(commands) or "# no stored grid asks for these rows"
    mo.vstack(
        [
            mo.md("## Behind a point"),
            text("Click on a point to see its rows, and what makes them again.")
            if behind.is_empty()
            else mo.vstack(
                [
                    mo.ui.table(points.brief(behind, rows)),
                    text(f"Made again, in {origin.AGAIN}, by"),
                    mo.md(f"```bash\n{_text}\n```"),
                    mo.download(
                        lambda: downloads.parquet(behind),
                        filename="rows.parquet",
                        mimetype="application/vnd.apache.parquet",
                        label="These rows, with a bit per image (Parquet)",
                    ),
                ]
            ),
        ]
    )
    return behind, commands


@app.cell
def _(chosen, places):
    _trials = set(chosen["trial"])
    _images, _damaged = gallery.read(places, _trials, 3_000_000)
    shown = [one for one in _images.pages if one[0].trial in _trials]
    _folds = [gallery.fold(*one, at == 0) for at, one in enumerate(shown)]
    mo.vstack(
        [
            mo.md("## Pictures of the chosen networks"),
            text("\n".join(_damaged)),
            mo.vstack(
                [text(gallery.CAPTION), mo.Html(f'<div class="pages">{"".join(_folds)}</div>')]
            )
            if shown
            else text("None: `rotgrid gallery RESULTS` draws them."),
        ]
    )
    return (shown,)


@app.cell
def _():
    name = mo.ui.dropdown(
        {shows(name): name for name in FIGURES},
        value=shows(next(iter(FIGURES))),
        label="Figure",
    )
    mo.vstack([mo.md("## Figures and verdicts of the report, of all rows"), name])
    return (name,)


@app.cell
def _(loaded, name):
    try:
        _needs = (getattr(loaded, table) for table in FIGURES[name.value].needs)
        figure = FIGURES[name.value].draw(loaded.rows, *_needs)
    except (NotMeasured, CannotShow) as error:
        figure = text(f"Not drawn: {error}")
    figure
    return (figure,)


@app.cell
def _(loaded):
    outcomes = verdicts.judge(loaded.rows)
    mo.accordion({f"{len(outcomes)} verdicts": mo.md(records.as_markdown(outcomes))})
    return (outcomes,)


if __name__ == "__main__":
    app.run()
