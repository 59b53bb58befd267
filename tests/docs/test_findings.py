"""Every number of docs/findings.md is that of the stored rows, or a setting of theirs."""

import functools
import itertools
import re

import polars as pl
import pytest

import analysis
from analysis.stats.seeds import FEWEST
from rotgrid import grid, results

from measured import (
    COUNTED,
    FIRST,
    NUMBER,
    estimate,
    gap,
    judged,
    lost_more,
    numbers_of,
    outcomes,
    points,
    reach,
    share,
    stored,
    unaccounted,
)
from pages import ROOT, lines_below, page

PAGE = page("findings")
SETTINGS = (
    r"[BC]\d+[ab]?\b|eps 0\.(?:05|[13])\b|±\d+°|95 %|Table 1|PGD-40|`[^`]*`|arXiv [\d.]+"
    r"|Figure \d+|0 to 180|fewer than three seeds|three seeds or more"
    r"|which of the two networks|, three seeds|4 epochs"
)
"""What the rows are of, and names."""
BOTH = ("paper", "fast")
"""Recipes."""


def recipes(**which):
    """Three seeds of the networks of Table 1: recipe `paper`, and `fast` of four epochs."""
    alike = {"precision": "float32", "adversary": "none"} | which
    kept = (pl.col("recipe") == "paper") | (pl.col("epochs") == 4)
    return stored("recipes").filter(kept, **alike)


def attacked(recipe, model="stdcnn", x=0.0, **which):
    """Those under fmn-pgd at 0.1."""
    return recipes(
        recipe=recipe, model=model, train_rotation=x, attack="fmn-pgd", eps=0.1, **which
    )


def unattacked(recipe, model, x):
    """Networks of Table 1 without attack, rotated as in training."""
    return recipes(recipe=recipe, model=model, train_rotation=x, test_rotation=x, attack="none")


def study(recipe, attack, **which):
    """StdCNN of docs/study, upright by recipe `converged`, at ±180° by `paper`; most images."""
    usual = {"eps": 0.1, "eps_unit": "pixel", "label_rule": "true"}
    usual |= {"clip": "pixel", "mode": "eval"} | which
    x = {"paper": 180.0, "converged": 0.0}[recipe]
    usual |= {"model": "stdcnn", "train_rotation": x}
    rows = stored("study").filter(recipe=recipe, attack=attack, **usual)
    most = pl.col("n_images").max().over("trial", "test_rotation")
    return rows.filter(pl.col("n_images") == most)


STRONG = ("paper", 0.05), ("paper", 0.1), ("converged", 0.05)
"""Recipes, and eps at which something is left under `strong`."""
SEEDS = {"paper": 5, "converged": FEWEST}
"""Of each recipe in docs/study."""


def strong(recipe, model, x, eps):
    """Networks of docs/study under `strong`, all their seeds."""
    which = {"model": model, "recipe": recipe, "train_rotation": x}
    rows = stored("study").filter(**which, attack="strong", eps=eps)
    assert sorted(rows["seed"]) == list(range(SEEDS[recipe]))
    return rows


def under_strong():
    """The table of what is left under `strong`."""
    lines = []
    for recipe, eps in STRONG:
        of = {
            label: [strong(recipe, model, x, eps) for x in (0.0, 180.0)]
            for label, model in (("StdCNN", "stdcnn"), ("GCNN", "gcnn"))
        }
        where = f"`{recipe}`, eps {eps:g}"
        lines += [
            f"| {label}, {where} | {share(upright)} | {share(rotated)} | {gap(rotated, upright)} |"
            for label, (upright, rotated) in of.items()
        ]
        gaps = [gap(more, less) for more, less in zip(of["GCNN"], of["StdCNN"], strict=True)]
        more = points(lost_more(functools.partial(strong, recipe, eps=eps)))
        lines.append(f"| GCNN less StdCNN | {' | '.join(gaps)} | {more} |")
    return lines


def odds(model):
    """How many times smaller the odds of withstanding `strong` at eps 0.05 are at ±180°."""
    upright, rotated = (
        (rows["n_correct"].sum() / (rows["n"].sum() - rows["n_correct"].sum()))
        for rows in (strong("paper", model, x, 0.05) for x in (0.0, 180.0))
    )
    return f"{upright / rotated:.1f}"


def clean(recipe, model, x):
    """Networks of docs/study without attack, rotated as in training."""
    return stored("study").filter(
        pl.col("mode") == "eval",
        recipe=recipe, model=model, train_rotation=x, test_rotation=x, attack="none",
    )  # fmt: skip


def contrast(recipe):
    """What GCNN changes by from ±0° to ±180° less what StdCNN does: sentence B1."""
    return points(lost_more(functools.partial(attacked, recipe)))


def comparisons():
    """The table of what changes what."""
    of = {
        "StdCNN: ±180° less ±0°": (attacked, ("stdcnn", 180.0), ("stdcnn", 0.0)),
        "GCNN: ±180° less ±0°": (attacked, ("gcnn", 180.0), ("gcnn", 0.0)),
        "no attack: GCNN less StdCNN, ±180°": (unattacked, ("gcnn", 180.0), ("stdcnn", 180.0)),
    }
    lines = [
        f"| {name} | {' | '.join(gap(rows(by, *more), rows(by, *less)) for by in BOTH)} |"
        for name, (rows, more, less) in of.items()
    ]
    lines.insert(2, f"| GCNN's change less StdCNN's (B1) | {' | '.join(map(contrast, BOTH))} |")
    return lines


def of_recipe():
    """`fast` less `paper`, in words."""
    told = [
        " and ".join(
            f"{gap(attacked('fast', model, x), attacked('paper', model, x))} at ±{x:g}°"
            for x in (0.0, 180.0)
        )
        for model in ("stdcnn", "gcnn")
    ]
    return f"{told[0]} for StdCNN, {told[1]} for GCNN ({reach(attacked('fast'))})"


def sentences():
    """The table of sentences: of each the setting with most seeds."""
    lines = []
    for name, settings in judged().items():
        if settings:
            one = max(settings, key=lambda one: one.seeds)
            verdicts = [each.verdict for each in settings]
            counted = ", ".join(
                f"**{v}** ({verdicts.count(v)})"
                for v in sorted(set(verdicts), key=lambda v: (v == "described", v))
            )
            numbers = numbers_of(one)
            if one.comparisons == 1:  # what it is of, the sentence says
                numbers = re.search(r"[+-]?[\d.]+(%| points) \[.*?\]", numbers)[0]
            setting = "; ".join(filter(None, [one.recipe, one.tier]))
            cells = [counted, numbers, setting, f"{one.n:,}", f"{one.seeds}", one.figure]
            lines.append((name, one, " | ".join(cells)))
    return lines


def blocks():
    """The blocks of the study of which there are rows, as lines, and the names of the others."""
    plan = grid.read(ROOT / "grids/study.yaml")
    measured = results.measured_probes(ROOT / "docs/study")
    lines, without = [], []
    for name, asked in plan.blocks.items():
        found = [
            len({probe.key() for probe in probes} & measured.get(trial.key(), set()))
            for trial, probes in asked.items()
        ]
        if sum(found):
            networks = f"{sum(map(bool, found))} of {len(found)}"
            lines.append(
                f"| `{name}` | {networks} | {sum(found):,} of {sum(map(len, asked.values())):,} |"
            )
        else:
            without.append(f"`{name}`")
    return lines, without


@functools.cache
def seed_by_seed():
    """B1 in the five settings of docs/recipes as studies of one seed would see it: of each the
    estimate and its interval over images."""
    rows = stored("recipes").filter(adversary="none", attack="fmn-pgd", eps=0.1)
    found = []
    for _, own in rows.group_by("recipe", "precision", "epochs", "seed"):
        assert own.height == 4
        one = lost_more(lambda model, x, own=own: own.filter(model=model, train_rotation=x))
        found.append((one.value, *one.interval()))
    return found


def by_seeds():
    """The sentence on them."""
    found = seed_by_seed()
    values = [100 * value for value, *_ in found]
    fors, against = (
        sum(ends for *_, low, high in found if (ends := (high < 0) if side else (low > 0)))
        for side in (True, False)
    )
    return (
        f"{len(found)} studies of one seed: their estimates run from {min(values):+.1f} to "
        f"{max(values):+.1f} points, and by an interval over images alone {fors} would have found "
        f"that GCNN loses more, {against} that it loses less"
    )


def one_seed(recipe, attack):
    """B1 as one study of one seed has it."""
    (one,) = (
        one
        for one in outcomes(*FIRST)
        if (one.id, one.tier, one.seeds) == ("B1", attack, 1) and one.recipe.startswith(recipe)
    )
    return re.search(r"[+-][\d.]+ points \[.*?\]", numbers_of(one))[0]


def failing(check):
    """How many networks of docs/study fail a check, of how many, and by how much."""
    every = analysis.diagnostics(ROOT / "docs/study").filter(check=check)
    found = every.filter(~pl.col("passed"))
    stdcnn, gcnn = (
        f"{found.filter(model=name).height} of {every.filter(model=name).height}"
        for name in ("stdcnn", "gcnn")
    )
    (n,) = every["n"].unique()
    low, high = (f"{100 * of:.1f}%" for of in (found["value"].min(), found["value"].max()))
    for place in FIRST:
        assert analysis.diagnostics(ROOT / "docs" / place).is_empty()
    return (
        f"of {stdcnn} StdCNNs and {gcnn} GCNNs twice the restarts break {low} to {high} of {n} "
        "images more"
    )


def spread(values):
    """The least and greatest of differences, in points, without decimals."""
    return f"{100 * min(values):+.0f} to {100 * max(values):+.0f} points"


def clear(differences):
    """How many intervals do not have 0 in them, of how many."""
    found = [low > 0 or high < 0 for low, high in (one.interval() for one in differences)]
    return f"{COUNTED[sum(found)]} of {COUNTED[len(found)]}"


def less(pairs):
    """The differences of pairs of rows."""
    return [estimate((1.0, more), (-1.0, fewer)) for more, fewer in pairs]


def of_the_answer():
    """What the first section says, but for its table."""
    pairs = list(itertools.product(("stdcnn", "gcnn"), (0.0, 180.0)))
    by_recipe = less((attacked("fast", *of), attacked("paper", *of)) for of in pairs)
    by_network = less(
        (attacked(recipe, "gcnn", x), attacked(recipe, "stdcnn", x))
        for recipe, x in itertools.product(BOTH, (0.0, 180.0))
    )
    without = less((unattacked("fast", *of), unattacked("paper", *of)) for of in pairs)
    assert min(one.interval()[0] for one in without) > 0
    assert {one.seeds for one in (*by_recipe, *by_network, *without)} == {FEWEST}
    too_close = [
        one for one in judged()["B1"] if one.seeds >= FEWEST and one.verdict == "too close to call"
    ]
    assert len(too_close) == sum(one.seeds >= FEWEST for one in judged()["B1"])
    rotated = {"train_rotation": 180.0, "model": "stdcnn", "adversary": "fgsm"}
    trained = attacked("fast", x=180.0, adversary="fgsm")
    kept = recipes(recipe="fast", attack="none", **rotated)
    gained = [100 * one.value for one in without]
    by, converged = (functools.partial(strong, recipe) for recipe in ("paper", "converged"))
    b2 = {one.recipe: one for one in judged()["B2"]}
    assert b2["converged"].verdict == "at the floor"
    assert b2["paper"].verdict == "too close to call"
    assert "left out: 1 network that fails square-not-gradients;" in b2["paper"].scope
    at_b2 = re.search(r"[+-][\d.]+ points \[.*?\]", numbers_of(b2["paper"]))[0]
    seeds = (converged("gcnn", 0.0, 0.05)["n_correct"] / 5).sort()
    ahead, behind = (
        less((of("gcnn", x, 0.05), of("stdcnn", x, 0.05)) for x in (0.0, 180.0))
        for of in (by, converged)
    )
    assert min(one.interval()[0] for one in ahead) > 0
    assert [one.interval()[1] < 0 for one in behind] == [False, True]
    assert max(one.value for one in behind) < 0
    return (
        f"{gap(by('stdcnn', 180.0, 0.1), by('stdcnn', 0.0, 0.1))} for StdCNN and "
        f"{gap(by('gcnn', 180.0, 0.1), by('gcnn', 0.0, 0.1))} for GCNN "
        f"({reach(by('gcnn', 0.0, 0.1))})",
        f"GCNN's change less StdCNN's is {points(lost_more(functools.partial(by, eps=0.1)))}",
        f"B2 is too close to call ({COUNTED[b2['paper'].seeds]} seeds, without an upright StdCNN "
        f"that fails a check of gradients: {at_b2})",
        f"it is {points(lost_more(functools.partial(by, eps=0.05)))}, and without attack "
        f"{points(lost_more(functools.partial(clean, 'paper')))} (five seeds)",
        f"as much in odds ({odds('stdcnn')} and {odds('gcnn')} times)",
        f"too close to call in all {COUNTED[len(too_close)]} settings with three seeds",
        f"`fast` less `paper` is {spread([one.value for one in by_recipe])}, clear of 0 in "
        f"{clear(by_recipe)} pairs; GCNN less StdCNN is "
        f"{spread([one.value for one in by_network])}, clear in {clear(by_network)}",
        f"keeps {share(trained)} under the same attack, and {share(kept)} without one "
        "(three seeds)",
        failing("twice-the-restarts"),
        f"lie far apart ({seeds[0]:.1f}%, {seeds[1]:.1f}% and {seeds[2]:.1f}%)",
        "There, at eps 0.02, GCNN less StdCNN is "
        f"{gap(converged('gcnn', 180.0, 0.02), converged('stdcnn', 180.0, 0.02))}",
        "its others of 1,000 under",
        "the second is of 500, with five seeds of `paper` and three of `converged`",
        of_recipe(),
        f"more accurate without attack, by {min(gained):.1f} to {max(gained):.1f} points",
        "The last line of the first table is of 10,000 images without attack",
        "which lifts GCNN above 98 %",
    )


def of_the_sentences():
    """What stands below the table of sentences."""
    every = judged()
    said = {name: settings for name, settings in every.items() if settings}
    few = {one.verdict for of in said.values() for one in of if one.seeds < FEWEST}
    assert few == {"described"}
    assert "holds" not in {one.verdict for of in said.values() for one in of}
    (c4,) = (one for one in outcomes("study") if (one.id, one.recipe) == ("C4", "converged"))
    assert {one.recipe.split(",")[0] for one in every["C4"] if one.verdict == "does not hold"} == {
        "paper",
        "fast",
    }
    left = {
        x: stored("architectures").filter(attack="fmn-pgd", eps=0.1, train_rotation=x)
        for x in (0.0, 180.0)
    }
    assert all((rows["n"].unique().to_list(), rows.height) == ([500], 6) for rows in left.values())
    kept = {x: dict(rows.select("model", "n_correct").iter_rows()) for x, rows in left.items()}
    stdcnn = [f"{kept[x].pop('stdcnn') / 5:.1f}%" for x in kept]
    others = [
        f"{min(of.values()) / 5:.1f}% to {max(of.values()) / 5:.1f}%" for of in kept.values()
    ]
    gcnn = clean("converged", "gcnn", 180.0)
    joined = outcomes(*FIRST, "study")
    (c6a,) = (o for o in joined if (o.id, o.recipe, o.tier) == ("C6a", "paper", "fgsm"))
    assert (c6a.seeds, c6a.verdict) == (2, "described")
    return (
        f"judges {len(every)} sentences; {len(said)} have rows",
        f"need {COUNTED[FEWEST]} seeds",
        f"{re.search(r'GCNN at ±180°: ([^;]+)', c4.words)[1]} by `converged`",
        f"({reach(gcnn)} each)",
        f"keeps {stdcnn[0]} upright and {stdcnn[1]} at ±180°; the other five networks keep "
        f"{others[0]} and {others[1]} (500 images, one seed)",
        "C6a by `paper` is described (two seeds)",
        f"No setting says anything of {', '.join(name for name in every if name not in said)}.",
    )


def of_conventions():
    """What the sections on attack, unit, label and test images say."""
    converged, paper = (functools.partial(study, recipe) for recipe in ("converged", "paper"))
    upright, rotated = {"test_rotation": 0.0}, {"test_rotation": 180.0}
    normalised = {"eps": 0.3, "eps_unit": "normalised"}
    predicted = {"eps": 0.3, "label_rule": "predicted"}
    (b12,) = (one for one in outcomes("study") if one.id == "B12")
    (in_pixels,) = re.findall(r"0\.3 .*\((0\.\d+) in pixels\)", b12.sentence)
    trained_upright = recipes(
        recipe="paper", model="stdcnn", train_rotation=0.0, attack="fgsm", eps=0.1
    )
    both = pl.col("seed").is_in(paper("fgsm", **upright)["seed"].implode())
    for attack in ("fgsm", "pgd", "strong", "noise"):
        assert converged(attack)["seed"].n_unique() == FEWEST
    each = [f"{100 * of:.1f}" for of in (converged("strong")["n_correct"] / 500).sort()]
    return (
        f"FGSM {share(converged('fgsm', **upright))} of 10,000 images, PGD "
        f"{share(converged('pgd', **upright))} of 2,000, `strong` {share(converged('strong'))} of "
        f"500 (by seed {each[0]}, {each[1]} and {each[2]})",
        "at eps 0.1 (three seeds)",
        f"as large keeps {share(converged('noise'))}",
        "has one seed",
        "by `converged` (three seeds)",
        *(
            f"under {name.upper()} {share(converged(name, eps=0.3, **upright))} in pixels, "
            f"{share(converged(name, **normalised))} normalised"
            for name in ("pgd", "fgsm")
        ),
        f"Normalised, 0.3 is {in_pixels} in pixels",
        " and ".join(
            f"{gap(converged(name, **predicted), converged(name, eps=0.3, **upright))} under "
            f"{name.upper()}"
            for name in ("pgd", "fgsm")
        ),
        f"upright digits: {share(paper('fgsm', **upright))} under FGSM at eps 0.1 "
        f"({reach(paper('fgsm', **upright))}), where a network trained upright keeps "
        f"{share(trained_upright)} (three seeds); on rotated digits it is "
        f"{share(paper('fgsm', **rotated).filter(both))}",
    )


def by_convention(**which):
    """What a convention changes of StdCNN upright, `converged`, under PGD at 0.1."""
    usual = study("converged", "pgd", test_rotation=0.0)
    other = study("converged", "pgd", test_rotation=0.0, **which)
    assert usual["seed"].n_unique() == other["seed"].n_unique() == FEWEST
    return gap(other, usual)


def of_contradictions():
    """What the last sections say, but for their table."""
    plan = grid.read(ROOT / "grids/study.yaml")
    ends = {
        (trial.model, trial.train_rotation, trial.seed)
        for trial in plan.blocks["B-converged"]
        if trial.train_rotation in (0, 180)
    }
    (planned,) = {
        sum((model, x) == of[:2] for of in ends)
        for model, x in itertools.product(("stdcnn", "gcnn"), (0, 180))
    }
    lines, without = blocks()
    return (
        by_seeds(),
        "at eps 0.1 (three seeds, 2,000 images)",
        f"images that are not clipped change it by {by_convention(clip='none')}",
        f"out of the ball, by {by_convention(clip='normalised')}",
        f"dropout left on by {by_convention(mode='train')}",
        "Two first looks of ours",
        f"{one_seed('paper', 'pgd')} in [baseline]",
        f"{one_seed('fast, 10,000', 'pgd')} in [architectures]",
        f"three seeds of the {COUNTED[planned]} that `grids/study.yaml` plans",
        f"{COUNTED[len(lines)].capitalize()} of its {len(lines) + len(without)} blocks have rows",
        f"Without any: {', '.join(without)}.",
    )


HEADS = {
    "| change of accuracy, three seeds | recipe `paper` | recipe `fast`, 4 epochs |": comparisons,
    "| under `strong` | ±0° | ±180° | change |": under_strong,
    "| block | networks with rows | rows |": lambda: blocks()[0],
}
SENTENCES = "| | in short | verdicts | numbers | setting | n | seeds | figure |"


@pytest.mark.parametrize("head", HEADS)
def test_tables_are_those_of_the_rows(head):
    """If this fails: take the lines that are printed."""
    assert lines_below(PAGE, head) == HEADS[head]()


def test_sentences_are_judged_as_the_rows_say():
    """If this fails: take what is printed, beside a sentence in one's own words."""
    lines = [line.strip("| ").split(" | ", 2) for line in lines_below(PAGE, SENTENCES)]
    found = sentences()
    assert [(name, cells) for name, _, cells in lines] == [(n, cells) for n, _, cells in found]
    for (_, short, _), (_, one, _) in zip(lines, found, strict=True):
        assert set(NUMBER.findall(short)) <= set(NUMBER.findall(one.sentence))


def test_every_number_is_computed_from_rows_or_is_a_setting():
    """A table is computed as a whole (above); what else is told is a piece of the text."""
    text = PAGE
    for head in (*HEADS, SENTENCES):
        for line in (head, *lines_below(PAGE, head)):
            text = text.replace(line, "")
    told = (*of_the_answer(), *of_the_sentences(), *of_conventions(), *of_contradictions())
    assert unaccounted(text, told, SETTINGS) == []


def test_what_is_not_measured_has_no_rows():
    rows = stored(*FIRST, "study")
    pair = rows.filter(pl.col("model").is_in(["stdcnn", "gcnn"]))
    assert rows["interpolation"].unique().to_list() == ["bilinear"]
    assert rows["data"].unique().to_list() == ["mnist"]
    assert pair["variant"].unique().to_list() == ["table1"]


def test_a_number_that_nothing_computes_is_found():
    assert unaccounted("at eps 0.1 it is 5.1% of six", [], SETTINGS) == ["5.1", "six"]
    assert unaccounted("at eps 0.1 it is 5.1% of six", ["is 5.1% of six"], SETTINGS) == []


def test_the_page_can_be_read_at_once():
    assert len(PAGE.splitlines()) <= 160
