"""The claims of a report as HTML: lines on all, and a row for each setting of one."""

import html
import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from analysis.claims.records import disagreement
from analysis.claims.verdicts import Outcome, Verdict

SIGNS: dict[Verdict, str] = {
    "holds": "\u2713",
    "does not hold": "\u2717",
    "mixed": "\u00b1",
    "too close to call": "\u2248",
    "at the floor": "\u2581",
    "described": "\u2026",
    "not measured": "\u2013",
}
"""Every verdict and its sign."""
TRADEOFF = ("B2", "B1")
"""The claims that answer the question of the study, that under the strongest attacks first."""
MOST_SETTINGS = 3
"""Settings whose verdicts stand at the top of the page."""
CAPTION = (
    "Sentences of the paper, and some beyond it, judged by the rows of this report, each recipe "
    "and each attack by itself. Described: fewer than three seeds, so that nothing is known of "
    "other trainings. At the floor: less than 1% is left on both sides of a comparison, or at one "
    "end of a change. p is adjusted for all sentences of a family, measured or not (Holm)."
)


def headline(outcomes: Sequence[Outcome]) -> str:
    """Where recipes or attacks disagree, and how many verdicts there are of each kind."""
    counts = Counter(outcome.verdict for outcome in outcomes)
    words = [f"{verdict} ({counts[verdict]})" for verdict in SIGNS if counts[verdict]]
    claims = len({outcome.id for outcome in outcomes})
    judged = len(outcomes) - counts["not measured"]
    counted = f"{claims} claims, judged {judged} times by recipe and attack: {', '.join(words)}."
    return f"{disagreement(outcomes)} {counted}".strip()


def tradeoff(outcomes: Sequence[Outcome]) -> str:
    """The claim that answers the question of the study, under the strongest attack that it was
    measured with, and its verdict in every setting; empty if it was not judged at all."""
    by_claim = {name: [one for one in outcomes if one.id == name] for name in TRADEOFF}
    known = [found for found in by_claim.values() if any(one.comparisons for one in found)]
    found = next(iter([*known, *filter(None, reversed(by_claim.values()))]), [])
    if not found:
        return ""
    verdicts = "; ".join(map(_verdict, found[:MOST_SETTINGS]))
    more = f"; {len(found) - MOST_SETTINGS} more" if len(found) > MOST_SETTINGS else ""
    name, sentence = html.escape(found[0].id), html.escape(found[0].sentence.rstrip("."))
    return f'<a href="#{name}">{name}</a>, {sentence}: {verdicts}{more}.'


def _verdict(outcome: Outcome) -> str:
    """A verdict with its number and setting, or what is missing for it."""
    words = outcome.words.split(". ")[0].rstrip(".")
    setting = "; ".join(filter(None, [words, outcome.recipe, outcome.tier]))
    return (
        f"<b>{SIGNS[outcome.verdict]} {html.escape(outcome.verdict)}</b> ({html.escape(setting)})"
    )


def tables(outcomes: Sequence[Outcome], figures: Collection[str]) -> dict[str, str]:
    """A table of the claims that were measured and one of those that were not, by their names; a
    claim links to its figure if that is one of `figures`."""
    parts: dict[str, list[Outcome]] = {"claims": [], "claims that were not measured": []}
    for outcome in outcomes:
        known = outcome.verdict != "not measured" or outcome.comparisons
        parts["claims" if known else "claims that were not measured"].append(outcome)
    return {name: _table(part, figures) for name, part in parts.items() if part}


def _table(outcomes: Iterable[Outcome], figures: Collection[str]) -> str:
    heads = "".join(
        f'<th scope="col">{head}</th>'
        for head in ("Claim", "What would refute it", "Recipe, attack", "Verdict", "Numbers")
    )
    rows = "\n".join(
        _rows(list(settings), figures)
        for _, settings in itertools.groupby(outcomes, lambda outcome: outcome.id)
    )
    return (
        f'<table class="claims"><caption>{CAPTION}</caption><thead><tr>{heads}</tr></thead>\n'
        f"{rows}</table>"
    )


def _rows(settings: Sequence[Outcome], figures: Collection[str]) -> str:
    """A claim, what would refute it, and beside them a row for each setting: a body of its own."""
    one, span = settings[0], f'rowspan="{len(settings)}"'
    claim = (
        f'<th scope="rowgroup" {span}>{html.escape(one.id)}: {html.escape(one.sentence)} '
        f"({_source(one.figure, figures)})</th><td {span}>{html.escape(one.refuted_by)}</td>"
    )
    first, *others = map(_setting, settings)
    rows = [f'<tr id="{html.escape(one.id)}">{claim}{first}</tr>']
    rows += [f"<tr>{other}</tr>" for other in others]
    return "<tbody>" + "\n".join(rows) + "</tbody>"


def _setting(outcome: Outcome) -> str:
    """Setting, verdict in a sign and in words, numbers, and how far they reach."""
    sign = f'<span aria-hidden="true">{SIGNS.get(outcome.verdict, "")}</span>'
    scope = f'<span class="muted">{html.escape(outcome.scope)}</span>' if outcome.scope else ""
    parts = html.escape(outcome.words), html.escape(_numbers(outcome)), scope
    setting = "; ".join(filter(None, [outcome.recipe, outcome.tier]))
    return (
        f"<td>{html.escape(setting)}</td>"
        f'<td class="verdict">{sign} {html.escape(outcome.verdict)}</td>'
        f'<td class="numbers">{"<br>".join(filter(None, parts))}</td>'
    )


def _source(figure: str, figures: Collection[str]) -> str:
    """`Figure 4 left` or `Figures 10, 11`, as a link to the first of them."""
    first = figure.replace(",", " ").split()[0]
    if not first.isdecimal():
        return html.escape(figure)
    words = html.escape(f"{'Figures' if ',' in figure else 'Figure'} {figure}")
    name = f"figure{int(first):02d}"
    return f'<a href="#{name}">{words}</a>' if name in figures else words


def _numbers(outcome: Outcome) -> str:
    """p, n and seeds, as far as there are any; the estimate and its interval are in the words."""
    words = []
    if outcome.p is not None:
        words.append("p < 0.001" if outcome.p < 0.001 else f"p {outcome.p:.3f}")
    for name, count in (("n", outcome.n), ("seeds", outcome.seeds)):
        words += [] if count is None else [f"{name} {count:,}"]
    return ", ".join(words)
