"""How often verdicts are wrong, and how often they find what is there: made-up studies with
planted truths and random trainings.

    python tests/benchmarks/verdicts.py [STUDIES [SEEDS ...]]

Of each family: the share of studies in which any sentence gets a verdict though nothing is true or
false of it (all kinds of network alike, accuracies at the bounds that sentences name), for 1 to 5
seeds; and the share of sentences that get the right verdict where every effect is 5 points.
Trainings differ by 1.5 points (standard deviation), and images are harder or easier for all.

Which rows a part compares is worked out once, by a study that is judged whole; of every other
study the same parts are measured from its own outcomes, by the same code.
"""

import itertools
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from scipy.stats import norm

from rotgrid.spec import Probe, Trial

sys.path[0] = str(Path(__file__).parents[1] / "analysis")  # not this folder, which has analysis.py

from analysis.claims import (  # noqa: E402
    beyond,
    contrasts,
    evidence,
    pixels,
    rotations,
    verdicts,
    widening,
)
from analysis.claims.verdicts import CLAIMS, Measured  # noqa: E402
from analysis.stats import paired  # noqa: E402
from analysis.stats.seeds import Estimate  # noqa: E402

from made_up import frame, row  # noqa: E402

IMAGES = 500
"""Without effects; with effects there are 10,000, as in the paper."""
BETWEEN = 0.015
RANGES = (0.0, 40.0, 180.0)
TABLE1 = (("stdcnn", "table1"), ("gcnn", "table1"))
OTHERS = (("hnet", "fixed"), ("ptn", "base"), ("roteqnet", "exact"))
PAIRS = (
    *(("stdcnn", "doubled"), ("gcnn", "halved")),
    *(("stdcnn", "matched-table1"), ("gcnn", "matched-table1")),
)
IN_ORDER = ("stdcnn", "gcnn", "hnet", "ptn", "roteqnet", "tipooling", "cyclic")
"""Architectures whose invariance is planted to rise, and whose robustness to fall."""
NEAREST = 0.1
"""Mean distance to the boundary, in pixel units."""
DECIDED = ("holds", "does not hold", "mixed")
OTHER = ("C2", "C3", "C4", "C7b", "C8b", "C11", "C13a")
"""Sentences on levels, margins and orders, true or false whatever is planted here: not counted."""


def networks(n: int) -> list[tuple[dict, list[Probe]]]:
    """Kinds of network, and what is measured on each, with n images."""
    kinds = [({"model": "capsnet", "train_rotation": 0.0}, clean(n, 40.0))]
    for (model, variant), x in itertools.product((*TABLE1, *OTHERS, *PAIRS), RANGES):
        trial = {"model": model, "variant": variant, "train_rotation": x}
        attacks = [
            Probe(attack=attack, eps=eps, eps_unit=unit, n_images=n)
            for attack in ("fgsm", "pgd", "fmn-pgd", "strong")
            for eps in (0.1, 0.3)
            for unit in ("pixel", "normalised")[: 1 + ((model, variant) in TABLE1)]
        ]
        upright = [
            Probe(attack=attack, eps=0.1, test_rotation=0.0, n_images=n)
            for attack in ("pgd", "fmn-pgd", "strong")
        ]
        if (model, variant) in TABLE1:
            upright.append(Probe(attack="fmn", eps=0.1, test_rotation=0.0, n_images=n))
        turns = (0.0, 20.0, *RANGES[1:]) if x == 0 else (x,)
        kinds.append((trial, [*clean(n, *turns), *attacks, *(upright if x else upright[3:])]))
        if (model, variant) in TABLE1:
            nearest = [probe for probe in attacks if probe.attack != "fgsm"]
            kinds.append((trial | {"interpolation": "nearest"}, nearest))
            fgsm = Probe(attack="fgsm", eps=0.3, n_images=n)
            kinds.append((trial | {"adversary": "fgsm"}, [*clean(n, x), fgsm]))
    for model in IN_ORDER:
        trial = {"model": model, "train_rotation": 0.0}
        turned = Probe(attack="equivariance", test_rotation=30.0, n_images=n)
        kinds.append((trial, [turned]))
        if model not in dict((*TABLE1, *OTHERS)):
            kinds.append((trial, [*clean(n, 0.0), *upright[:3]]))
    for model, _ in TABLE1:
        worst = Probe(attack="rotation-grid", test_rotation=30.0, n_images=n)
        kinds.append(({"model": model, "train_rotation": 0.0}, [worst]))
        kinds.append(
            ({"model": model, "train_rotation": 0.0, "adversary": "pgd"}, clean(n, 180.0))
        )
    return kinds


def clean(n: int, *turns: float) -> list[Probe]:
    """Without attack, at these ranges."""
    return [Probe(test_rotation=turn, n_images=n) for turn in turns]


class Study(NamedTuple):
    """Rows without their outcomes, numbered (`_row`, and `_near` of FMN), and what is planted."""

    rows: pl.DataFrame
    shares: np.ndarray
    network: np.ndarray
    """The number of its training."""


class Outcomes(NamedTuple):
    """What the networks of one study did: a row for each of `Study.rows`, a column per image."""

    right: np.ndarray
    distances: np.ndarray


def template(seeds: int, effect: float, n: int) -> Study:
    """A study to be."""
    rows, shares, of = [], [], []
    for number, (kind, probes) in enumerate(networks(n)):
        for seed in range(seeds):
            trial = Trial(**kind, seed=seed, data="mnist", recipe="fast")
            for probe in probes:
                rows.append(row(trial, probe, flags=""))
                shares.append(level(trial, probe.resolve(trial), effect))
                of.append(number * seeds + seed)
    near = (pl.col("attack") == "fmn").cum_sum().cast(pl.Int64) - 1
    numbered = frame(rows).with_row_index("_row").with_columns(_near=near)
    return Study(numbered, np.array(shares), np.array(of))


def drawn(study: Study, draw: np.random.Generator) -> Outcomes:
    """Images are harder or easier for all, every training is a little better or worse."""
    n = study.rows["n"][0]
    harder = draw.normal(0, 1.0, n).astype(np.float32)
    luck = draw.normal(0, BETWEEN, study.network.max() + 1)[study.network]
    logits = logit_of(study.shares + luck)[:, None].astype(np.float32) + harder
    right = draw.random(logits.shape, np.float32) < 1 / (1 + np.exp(-logits))
    nearer = (study.rows["attack"] == "fmn").to_numpy()
    mean = NEAREST * (study.shares + luck)[nearer, None]
    spread = draw.normal(0, 0.3, (nearer.sum(), n)) + 0.3 * harder
    return Outcomes(right, mean * np.exp(spread - 0.09))


def with_outcomes(rows: pl.DataFrame, outcomes: Outcomes) -> pl.DataFrame:
    """The rows of a study, or some of them, with what their networks did."""
    at = rows["_row"].to_numpy()
    right = outcomes.right[at]
    packed = [each.tobytes() for each in np.packbits(right, axis=1)]
    distances = [
        outcomes.distances[near].tolist() if attack == "fmn" else None
        for attack, near in rows.select("attack", "_near").iter_rows()
    ]
    return rows.with_columns(
        pl.Series("n_correct", right.sum(1), pl.Int64),
        pl.Series("correct", packed, pl.Binary),
        pl.Series("distances", distances, pl.List(pl.Float32)),
    )


def logit_of(shares: np.ndarray) -> np.ndarray:
    """The logits of networks that get this share of images of standard difficulty right."""
    logits = np.linspace(-8, 8, 1_601)
    images = norm.ppf((np.arange(500) + 0.5) / 500)
    return np.interp(shares, (1 / (1 + np.exp(-logits[:, None] - images))).mean(1), logits)


def level(trial: Trial, probe: Probe, effect: float) -> float:
    """The accuracy that is planted. With an effect, equivariant networks are ahead by it without
    attack, and under FGSM and at eps 0.3 if they were trained with small rotations, behind if with
    large ones; training on the range of the test helps by it; PGD is stronger than FGSM by it. At
    eps 0.1 architectures that know more rotations are behind by more of it, and fall further with
    training. Of FMN it is the mean distance in units of `NEAREST`."""
    wide, place = trial.train_rotation > 40, 0
    if trial.model in IN_ORDER:
        place = IN_ORDER.index(trial.model)
    if probe.attack == "fmn":
        return 1 - effect * wide
    if probe.attack == "equivariance":
        return 0.5 + effect * place
    if probe.attack in ("none", "rotation-grid") or trial.adversary == "fgsm":
        ahead = effect * (trial.model != "stdcnn") - effect * (trial.adversary == "pgd")
        return 0.7 + ahead + effect * (0 < trial.train_rotation == probe.test_rotation)
    if probe.attack == "fgsm" or probe.eps > 0.2:
        ahead = effect * (place > 0) * (-1 if wide else 1)
        return 0.5 + ahead + effect * (probe.attack == "fgsm")
    return 0.5 - effect * place - 2 * effect * (wide and place > 0)


Call = tuple[pl.DataFrame, Sequence[evidence.Wanted | evidence.Either]]


class Judged(NamedTuple):
    """A claim in one setting: how its evidence is measured anew."""

    measured: Measured
    calls: Sequence[Call]
    rows: pl.DataFrame
    measure: Callable[[pl.DataFrame], evidence.Evidence]
    """Of the rows, for claims that do not compare parts alone: they have no calls."""


def plan(rows: pl.DataFrame) -> list[Judged]:
    """How every claim of which these rows say anything is measured."""
    calls: list[Call] = []
    seen: list[pl.DataFrame] = []
    usual = evidence.evidence

    def recorded(rows: pl.DataFrame, wanted: Sequence, remark: str = "") -> evidence.Evidence:
        found = usual(rows, wanted, remark)
        calls.append((evidence.most_images(rows), wanted))
        return found

    users = beyond, contrasts, pixels, rotations, widening
    for module in users:
        setattr(module, "evidence", recorded)  # noqa: B010  # which it imported by name
    found = []
    trained = verdicts.by_recipe(rows, CLAIMS)
    for claim in CLAIMS:

        def watched(part: pl.DataFrame, measure: Callable = claim.measure) -> evidence.Evidence:
            calls.clear()
            seen[:] = [part]
            return measure(part)

        of_claim = trained[verdicts._rows_of(claim)]
        for one in verdicts.measured(claim._replace(measure=watched), of_claim):
            if isinstance(one, Measured):
                found.append(Judged(one, [*calls], seen[0], claim.measure))
    for module in users:
        setattr(module, "evidence", usual)  # noqa: B010
    return found


def measured_anew(one: Judged, outcomes: Outcomes, cells: dict) -> Measured:
    """The same claim in another study of the same rows."""
    if not one.calls:
        return one.measured._replace(evidence=one.measure(with_outcomes(one.rows, outcomes)))
    before = one.measured.evidence

    def single(rows: pl.DataFrame, wanted: evidence.Wanted) -> evidence.Part:
        terms = [
            (weight, values(rows, of, wanted.values is paired.bits), arm)
            for (weight, of), arm in zip(wanted.terms, evidence.arms(wanted.terms), strict=True)
        ]
        return evidence.part(wanted, terms)

    def values(rows: pl.DataFrame, of: dict, bits: bool) -> paired.Bits:
        key = id(rows), str(of)
        if key not in cells:
            cells[key] = evidence.cell(rows, **of).select("seed", "_row", "_near").rows()
        if bits:
            return {seed: outcomes.right[at].astype(float) for seed, at, _ in cells[key]}
        return {seed: outcomes.distances[near] for seed, _, near in cells[key]}

    usual, evidence.single = evidence.single, single
    parts = [
        evidence.either(rows, part) if isinstance(part, evidence.Either) else single(rows, part)
        for rows, wanted in one.calls
        for part in wanted
        if not any(line.startswith(f"{part.words} (") for line in before.absent)
    ]
    evidence.single = usual
    return one.measured._replace(evidence=before._replace(parts=parts))


def verdicts_of(found: Iterable[Measured]) -> list[tuple[verdicts.Claim, str, str]]:
    """Claim, tier and verdict, of those that are counted."""
    return [
        (one.claim, one.tier, verdicts.verdict_of(one.evidence, p, tests))
        for one, p, tests in verdicts.adjusted(found, CLAIMS)
        if one.claim.id not in OTHER
    ]


def judged(
    studies: int, seeds: int, effect: float
) -> Iterator[list[tuple[verdicts.Claim, str, str]]]:
    """The verdicts of each study.

    Raises:
        AssertionError: those of the first are not those of `verdicts.judge`.
    """
    draw = np.random.default_rng([seeds, round(100 * effect)])
    study = template(seeds, effect, 10_000 if effect else IMAGES)
    first = drawn(study, draw)
    rows, cells = with_outcomes(study.rows, first), {}
    claims = plan(rows)
    again = verdicts_of(measured_anew(one, first, cells) for one in claims)
    whole = {(o.id, o.tier): o.verdict for o in verdicts.judge(rows) if o.recipe}
    assert all(whole[claim.id, tier] == verdict for claim, tier, verdict in again)
    Estimate.interval = lambda *_: (0.0, 0.0)  # which no verdict needs
    for _ in range(studies):
        outcomes = drawn(study, draw)
        yield verdicts_of(measured_anew(one, outcomes, cells) for one in claims)


def main(studies: int, numbers: Sequence[int]) -> None:
    """Print both tables, in Markdown."""
    print("| seeds | family | studies in which something that is not there gets a verdict |")
    print("|---|---|---|")
    for seeds in numbers:
        names = [
            family + tier
            for family in dict.fromkeys(claim.family for claim in CLAIMS)
            for tier in ("", ", fmn-pgd", ", strong")
            if tier == "" or family != "rotations"
        ]
        wrong: Counter[str] = Counter(dict.fromkeys(names, 0))
        for found in judged(studies, seeds, 0.0):
            hits = [(claim, tier) for claim, tier, verdict in found if verdict in DECIDED]
            wrong.update({claim.family + stronger(claim, tier) for claim, tier in hits})
        for name, count in wrong.items():
            print(f"| {seeds} | {name} | {count / studies:.1%} |", flush=True)
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for outcomes in judged(max(studies // 10, 1), 5, 0.05):
        for claim, tier, verdict in outcomes:
            found[f"{claim.id} {tier}"][verdict] += 1
    print("\n| claim, attack | right verdict (5 seeds, effects of 5 points) | all verdicts |")
    print("|---|---|---|")
    for name, counts in found.items():
        right = counts["holds"] / counts.total()
        print(f"| {name} | {right:.0%} | {dict(counts)} |")


def stronger(claim: verdicts.Claim, tier: str) -> str:
    """What the family of sentences under a stronger attack is called."""
    ranks = [f", {attacks[-1]}" for attacks in claim.tiers[1:]]
    return next((rank for rank in ranks if tier.endswith(rank[2:])), "")


if __name__ == "__main__":
    asked = [int(word) for word in sys.argv[1:]]
    main(asked[0] if asked else 1_000, asked[1:] or range(1, 6))
