"""How often verdicts are wrong, and how often they find what is there: made-up studies with
planted truths and random trainings.

    python tests/benchmarks/verdicts.py [STUDIES [SEEDS ...]]

Of each family: the share of studies in which any sentence gets a verdict though nothing is true or
false of it (all kinds of network alike, accuracies at the bounds that sentences name), for 1 to 5
seeds; and the share of sentences that get the right verdict where every effect is 5 points.
Trainings differ by 1.5 points (standard deviation), and images are harder or easier for all.
"""

import itertools
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from scipy.stats import norm

from rotgrid.spec import Probe, Trial

sys.path[0] = str(Path(__file__).parents[1] / "analysis")  # not this folder, which has analysis.py

from analysis.claims import verdicts  # noqa: E402

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
            for attack in ("fgsm", "pgd", "strong")
            for eps in (0.1, 0.3)
            for unit in ("pixel", "normalised")[: 1 + ((model, variant) in TABLE1)]
        ]
        upright = Probe(attack="pgd", eps=0.1, test_rotation=0.0, n_images=n)
        turns = (0.0, 20.0, *RANGES[1:]) if x == 0 else (x,)
        kinds.append((trial, [*clean(n, *turns), *attacks, *([upright] if x else [])]))
        if (model, variant) in TABLE1:
            pgd = [probe for probe in attacks if probe.attack == "pgd"]
            kinds.append((trial | {"interpolation": "nearest"}, pgd))
            fgsm = Probe(attack="fgsm", eps=0.3, n_images=n)
            kinds.append((trial | {"adversary": "fgsm"}, [*clean(n, x), fgsm]))
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


def template(seeds: int, effect: float, n: int) -> tuple[pl.DataFrame, np.ndarray, np.ndarray]:
    """Rows of a study without their bits, the accuracy planted in each, and its network."""
    rows, shares, of = [], [], []
    for number, (kind, probes) in enumerate(networks(n)):
        for seed in range(seeds):
            trial = Trial(**kind, seed=seed, data="mnist", recipe="fast")
            for probe in probes:
                rows.append(row(trial, probe, flags=""))
                shares.append(level(trial, probe.resolve(trial), effect))
                of.append(number * seeds + seed)
    return frame(rows), np.array(shares), np.array(of)


def drawn(
    rows: pl.DataFrame, shares: np.ndarray, of: np.ndarray, draw: np.random.Generator
) -> pl.DataFrame:
    """A study: images are harder or easier for all, every training is a little better or worse."""
    n = rows["n"][0]
    harder = draw.normal(0, 1.0, n)
    luck = draw.normal(0, BETWEEN, of.max() + 1)[of]
    logits = logit_of(shares + luck)[:, None] + harder
    bits = draw.random((len(rows), n)) < 1 / (1 + np.exp(-logits))
    packed = [each.tobytes() for each in np.packbits(bits, axis=1)]
    counts = pl.Series("n_correct", bits.sum(1))
    return rows.with_columns(counts, pl.Series("correct", packed, pl.Binary))


def logit_of(shares: np.ndarray) -> np.ndarray:
    """The logits of networks that get this share of images of standard difficulty right."""
    logits = np.linspace(-8, 8, 1_601)
    images = norm.ppf((np.arange(500) + 0.5) / 500)
    return np.interp(shares, (1 / (1 + np.exp(-logits[:, None] - images))).mean(1), logits)


def level(trial: Trial, probe: Probe, effect: float) -> float:
    """The accuracy that is planted. With an effect, equivariant networks are ahead by it without
    attack, and under attack if they were trained with small rotations, behind if with large ones;
    training on the range of the test helps by it; PGD is stronger than FGSM by it."""
    ahead = effect * (trial.model != "stdcnn")
    if probe.attack in ("none", "rotation-grid") or trial.adversary == "fgsm":
        ahead -= effect * (trial.adversary == "pgd")
        return 0.7 + ahead + effect * (0 < trial.train_rotation == probe.test_rotation)
    ahead *= 1 if trial.train_rotation <= 40 else -1
    return 0.5 + ahead + effect * (probe.attack == "fgsm")


def main(studies: int, numbers: Sequence[int]) -> None:
    """Print both tables, in Markdown."""
    family = {claim.id: claim.family for claim in verdicts.CLAIMS}
    print("| seeds | family | studies in which something that is not there gets a verdict |")
    print("|---|---|---|")
    for seeds in numbers:
        names = dict.fromkeys(family.values())
        names = [name + tier for name in names for tier in ("", ", strong")]
        wrong: Counter[str] = Counter(dict.fromkeys(names, 0))
        for outcomes in judged(studies, seeds, 0.0):
            hits = [one for one in outcomes if one.verdict in DECIDED]
            wrong.update({family[one.id] + stronger(one) for one in hits})
        for name, count in wrong.items():
            print(f"| {seeds} | {name} | {count / studies:.1%} |", flush=True)
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for outcomes in judged(max(studies // 10, 1), 5, 0.05):
        for one in outcomes:
            found[f"{one.id} {one.tier}"][one.verdict] += 1
    print("\n| claim, attack | right verdict (5 seeds, effects of 5 points) | all verdicts |")
    print("|---|---|---|")
    for name, counts in found.items():
        right = counts["holds"] / counts.total()
        print(f"| {name} | {right:.0%} | {dict(counts)} |")


def stronger(one: verdicts.Outcome) -> str:
    """What the family of sentences under the strong attacks is called."""
    return ", strong" if one.tier == "strong" and one.id != "B2" else ""


def judged(studies: int, seeds: int, effect: float) -> Iterator[list[verdicts.Outcome]]:
    """The outcomes of each study that say anything."""
    draw = np.random.default_rng([seeds, round(100 * effect)])
    start = template(seeds, effect, 10_000 if effect else IMAGES)
    for _ in range(studies):
        outcomes = verdicts.judge(drawn(*start, draw))
        yield [o for o in outcomes if o.verdict != "not measured" and o.id not in OTHER]


if __name__ == "__main__":
    asked = [int(word) for word in sys.argv[1:]]
    main(asked[0] if asked else 1_000, asked[1:] or range(1, 6))
