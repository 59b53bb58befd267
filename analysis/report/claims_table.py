"""The claims of a report as HTML: a line on all, and a row for each."""

import html
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from analysis.claims.verdicts import Outcome, Verdict

SIGNS: dict[Verdict, str] = {
    "holds": "\u2713",
    "does not hold": "\u2717",
    "too close to call": "\u2248",
    "not measured": "\u2013",
}
"""Every verdict and its sign."""
CAPTION = (
    "Sentences of the paper, and some beyond it, judged by the rows of this report; p is adjusted "
    "for all claims of a family (Holm)."
)


def headline(outcomes: Sequence[Outcome]) -> str:
    """How many claims got which verdict."""
    counts = Counter(outcome.verdict for outcome in outcomes)
    plurals: dict[Verdict, str] = {"holds": "hold", "does not hold": "do not hold"}
    words = []
    for verdict in SIGNS:
        alone = verdict if verdict in plurals else f"is {verdict}"
        several = plurals.get(verdict, f"are {verdict}")
        if counts[verdict]:
            words.append(f"{counts[verdict]} {alone if counts[verdict] == 1 else several}")
    return f"Of {len(outcomes)} claims: {', '.join(words)}."


def tables(outcomes: Sequence[Outcome], figures: Collection[str]) -> dict[str, str]:
    """A table of the claims that were measured and one of those that were not, by their names; a
    claim links to its figure if that is one of `figures`."""
    parts: dict[str, list[Outcome]] = {"claims": [], "claims that were not measured": []}
    for outcome in outcomes:
        parts[list(parts)[outcome.verdict == "not measured"]].append(outcome)
    return {name: _table(part, figures) for name, part in parts.items() if part}


def _table(outcomes: Iterable[Outcome], figures: Collection[str]) -> str:
    heads = "".join(
        f'<th scope="col">{head}</th>'
        for head in ("Claim", "Verdict", "Numbers", "What would refute it")
    )
    rows = "\n".join(_row(outcome, figures) for outcome in outcomes)
    return (
        f'<table class="claims"><caption>{CAPTION}</caption><thead><tr>{heads}</tr></thead>\n'
        f"<tbody>{rows}</tbody></table>"
    )


def _row(outcome: Outcome, figures: Collection[str]) -> str:
    """Verdict in a sign and in words, numbers, how far they reach, and what would refute it."""
    sign = f'<span aria-hidden="true">{SIGNS.get(outcome.verdict, "")}</span>'
    scope = f'<span class="muted">{html.escape(outcome.scope)}</span>' if outcome.scope else ""
    parts = html.escape(outcome.words), html.escape(_numbers(outcome)), scope
    return (
        f'<tr id="{html.escape(outcome.id)}"><th scope="row">{html.escape(outcome.id)}: '
        f"{html.escape(outcome.sentence)} ({_source(outcome.figure, figures)})</th>"
        f'<td class="verdict">{sign} {html.escape(outcome.verdict)}</td>'
        f"<td>{'<br>'.join(filter(None, parts))}</td>"
        f"<td>{html.escape(outcome.refuted_by)}</td></tr>"
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
