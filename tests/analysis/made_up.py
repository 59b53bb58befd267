"""Made-up rows: the shape of a study, with the trade-off built in, not measured."""

import base64
import itertools
import math
from datetime import UTC, datetime, timedelta

import altair as alt
import numpy as np
import polars as pl

from analysis.figures.registry import FIGURES
from analysis.rows.conditions import SPATIAL
from rotgrid import results
from rotgrid.results.columns import SCHEMAS
from rotgrid.results.galleries import Page, Panel, Picture
from rotgrid.spec import Probe, Trial, data_of, extensions
from rotgrid.spec.datasets import DataSet, Shape
from rotgrid.spec.entries import is_own

PROVENANCE = {
    "rotgrid_version": "0.1.0",
    "git_commit": "0123abc",
    "code": "0123456789ab",
    "torch_version": "2.13.0",
    "device": "cpu",
    "host": "here",
    "finished_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
}
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAAAAADRSSBWAAAAC0lEQVR42mPQOAEAARsA8TGtiOcAAAAASUVORK5CYII="
)
"""Two grey pixels."""
RANGES = (0, 20, 40, 60, 90, 180)
EPS = (0.05, 0.1, 0.2, 0.3)
OWN, OWN_ATTACK, OWN_DATA = "nets.mine:build", "nets.attacks:mine", "mine.npz"
DIGEST = "{:016x}"
"""Of a version of what is own."""
for _version in (1, 2):
    extensions.remember(
        OWN_DATA,
        extensions.Own(
            DIGEST.format(_version), data=DataSet(600, 90, 300, Shape(3, 20, 3, (0.4,), (0.25,)))
        ),
    )
LEVELS = {"hnet": -0.02, "ptn": 0.004, "roteqnet": 0.008}
"""By how much other models are more accurate than StdCNN."""


def accuracy(trial: Trial, probe: Probe) -> float:
    """Plausible: rotations beyond those of training hurt, GCNN less; wide training costs GCNN its
    robustness to pixels; adversarial training buys it back."""
    group = trial.model == "gcnn"
    beyond = max(float(probe.test_rotation) - trial.train_rotation - (25 if group else 12), 0)
    clean = (0.985 if group else 0.975) - (0.4 if group else 0.6) * (1 - math.exp(-beyond / 60))
    clean += LEVELS.get(trial.model, 0.0) - (1 - trial.train_size / data_of(trial).train) ** 8 / 4
    if probe.attack == "none":
        return clean
    if probe.attack in SPATIAL:
        return 0.8 * clean
    slope = {"noise": 0.3, "fgsm": 7}.get(probe.attack, 13)
    slope *= (1 + trial.train_rotation / (90 if group else 300)) * (0.75 if group else 1)
    slope *= 1 if trial.adversary == "none" else 0.15
    return clean * math.exp(-slope * probe.eps)


def row(trial: Trial, probe: Probe, **changes) -> dict:
    """One row as an evaluation writes it; `correct` fits `n_correct` unless changed."""
    probe = probe.resolve(trial)
    rng = np.random.default_rng(int(trial.key()[:8], 16) ^ int(probe.key()[:8], 16))
    share = np.clip(accuracy(trial, probe) + rng.normal(0, 0.012), 0, 1)
    n_correct = round(float(share) * probe.n_images)
    bits = rng.permutation(np.arange(probe.n_images) < n_correct)
    classes = data_of(trial).shape.classes
    labels = np.arange(probe.n_images) % classes
    return {
        "trial": trial.key(),
        "probe": probe.key(),
        **trial.model_dump(),
        **probe.model_dump(),
        "n": probe.n_images,
        "n_correct": n_correct,
        "correct": np.packbits(bits).tobytes(),
        "class_n": np.bincount(labels, minlength=classes).tolist(),
        "class_n_correct": np.bincount(labels[bits], minlength=classes).tolist(),
        "distances": None,
        "parameters": 25_000,
        "seconds": 0.5,
        **PROVENANCE,
        **changes,
    }


def study(
    models=(("stdcnn", "table1"), ("gcnn", "table1")),
    train_rotations=(0, 60, 180),
    adversaries=("none", "fgsm"),
    seeds=(0, 1, 2),
    test_rotations=RANGES,
    eps=EPS,
    data="mnist5k",
    n_images=0,
    attacks=("fgsm", "pgd"),
    version=1,
    **training,
) -> list[dict]:
    """Rows of every network: clean at all test ranges, FGSM and PGD at all eps at its own. What is
    own is of one version, and finished as many days later."""
    rows, later = [], PROVENANCE["finished_at"] + timedelta(days=version - 1)
    networks = itertools.product(models, train_rotations, adversaries, seeds)
    for (model, variant), turn, adversary, seed in networks:
        trial = Trial(
            model=model,
            variant=variant,
            data=data,
            train_rotation=float(turn),
            adversary=adversary,
            seed=seed,
            **digests(version, model=model, data=data, adversary=adversary),
            **{"recipe": "fast", **training},
        )
        probes = [
            Probe(test_rotation=float(x)) for x in {turn: 0, **dict.fromkeys(test_rotations)}
        ]
        probes += [
            Probe(
                attack=attack,
                eps=e,
                steps=20,
                n_images=n_images,
                **digests(version, attack=attack),
            )
            for attack in attacks
            for e in eps
        ]
        rows += [row(trial, probe, finished_at=later) for probe in probes]
    return rows


def digests(version: int, **names: str) -> dict[str, str]:
    """The digests of own names of a version, as fields."""
    return {f"{c}_digest": DIGEST.format(version) for c, name in names.items() if is_own(name)}


def trials_of(rows: list[dict]) -> list[Trial]:
    """The networks of the rows, each once."""
    networks = {r["trial"]: Trial(**{name: r[name] for name in Trial.model_fields}) for r in rows}
    return list(networks.values())


def whole() -> dict[str, pl.DataFrame]:
    """Every table, with all that any figure asks for; three seeds of everything."""
    pair = (("stdcnn", "doubled"), ("gcnn", "halved"))
    rows = study() + study(pair, (0, 60, 180), eps=(0.1, 0.3))
    rows += study((("roteqnet", "exact"),), adversaries=("none",))
    rows += study((("capsnet", "table"),), (0,), ("none",), eps=())
    plain = trials_of(study(adversaries=("none",), eps=()))
    for trial in plain:
        apart = {0.0, 60.0, 180.0} - {trial.train_rotation}
        rows += [
            row(trial, Probe(attack="pgd", eps=e, steps=20, test_rotation=turn))
            for turn in sorted(apart)
            for e in (0.1, 0.3)
        ]
        rows += [near(trial, Probe(attack="fmn", eps=e, n_images=200)) for e in (0.1, 0.3)]
        if trial.train_rotation != 60:
            smaller = [trial.model_copy(update={"train_size": size}) for size in (500, 1_000)]
            rows += [row(other, Probe()) for other in smaller]
    trials = [trial for trial in trials_of(rows) if trial.train_size > 1_000]
    return {
        "rows": frame(rows),
        "training": table_of("training", [r for trial in trials for r in learned(trial)]),
        "equivariance": table_of("equivariance", [r for trial in plain for r in turned(trial)]),
        "unfinished": table_of("unfinished", []),
    }


def chart(name: str, rows: pl.DataFrame, **tables: pl.DataFrame) -> alt.ConcatChart:
    """A figure of the registry; tables that are not given are empty."""
    empty = {table: table_of(table, []) for table in ("training", "equivariance", "unfinished")}
    return FIGURES[name].draw(rows, *((empty | tables)[need] for need in FIGURES[name].needs))


def shown_by(name: str, tables: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The tables of `whole` as a figure needs them: one is of grids that vary no number."""
    upright = pl.col("train_rotation") + pl.col("test_rotation") == 0
    most = pl.col("train_size") == pl.col("train_size").max()
    words = tables["rows"].filter(upright, most, pl.col("eps").is_in([0.0, 0.1]))
    return tables | {"rows": words} if name == "by_category" else tables


def words_of(spec: dict) -> str:
    """What is said about a figure: its caption, and its notes elsewhere."""
    return " ".join([*spec["title"]["subtitle"], *spec["usermeta"]["notes"]])


def frame(rows: list[dict]) -> pl.DataFrame:
    """Rows as `analysis.load` gives them; without `flags` they were never checked."""
    checks = [
        pl.Series(name, [r.get(name) for r in rows], pl.String) for name in ("flags", "cautions")
    ]
    return table_of("evaluations", rows).with_columns(checks)


def checks(trial: Trial, **values: float) -> list[dict]:
    """Rows of the table `diagnostics`; every limit is 0.01."""
    probe = Probe(attack="diagnostics", eps=0.1, n_images=100).resolve(trial)
    fields = {"trial": trial.key(), "probe": probe.key(), **trial.model_dump(), "limit": 0.01}
    fields |= {**probe.model_dump(), "n": 100, **PROVENANCE}
    return [
        {**fields, "check": check.replace("_", "-"), "value": value, "passed": value <= 0.01}
        for check, value in values.items()
    ]


def epochs(trial: Trial, robust: list[int | None], clean: list[int] | None = None) -> list[dict]:
    """Rows of the table `training`; counts are of 100 images."""
    fields = {"trial": trial.key(), **trial.model_dump(), "parameters": 9, "seconds": 1.0}
    fields |= {"train_loss": 1.0, "val_n": 100, **PROVENANCE}
    return [
        {
            **fields,
            "epoch": epoch,
            "val_n_correct": correct,
            "val_robust_n": None if survived is None else 100,
            "val_robust_n_correct": survived,
        }
        for epoch, survived, correct in zip(
            itertools.count(1), robust, clean or itertools.repeat(95), strict=False
        )
    ]


def learned(trial: Trial, seconds: float = 10.0) -> list[dict]:
    """Rows of the table `training`, one per epoch of the trial: the loss falls, accuracy rises."""
    fields = {"trial": trial.key(), **trial.model_dump(), "parameters": 9, "seconds": seconds}
    watched = trial.adversary != "none"
    rows = []
    for epoch in range(1, trial.epochs + 1):
        missed = (0.3 + trial.seed / 50) / epoch
        robust = {"val_robust_n": 100, "val_robust_n_correct": round(70 * (1 - missed))}
        rows.append(
            {
                **fields,
                "epoch": epoch,
                "train_loss": 2 * missed,
                "val_n": 1_000,
                "val_n_correct": round(1_000 * (1 - missed)),
                **(robust if watched else dict.fromkeys(robust)),
                **PROVENANCE,
            }
        )
    return rows


def turned(trial: Trial, degrees=(15, 30, 45, 90, 180)) -> list[dict]:
    """Rows of the table `equivariance`: the logits, and a layer that no figure shows."""
    rows = []
    for angle in degrees:
        probe = Probe(attack="equivariance", test_rotation=float(angle)).resolve(trial)
        error = (1.2 if trial.model == "stdcnn" else 0.8) * (1 - math.exp(-angle / 40))
        error *= 1 - trial.train_rotation / 240
        fields = {"trial": trial.key(), "probe": probe.key(), **trial.model_dump(), "n": 500}
        fields |= {"degrees": float(angle), **PROVENANCE}
        for position, layer in enumerate(("body.0", "logits"), 1):
            error += trial.seed / 100
            rows.append({**fields, "position": position, "layer": layer, "error": error})
    return rows


def near(trial: Trial, probe: Probe, **changes) -> dict:
    """A row of attack `fmn` with distances; the share beyond eps is the accuracy there."""
    probe = probe.resolve(trial)
    slope = 13 * (1 + trial.train_rotation / (90 if trial.model == "gcnn" else 300))
    shares = (np.arange(probe.n_images) + 0.5) / probe.n_images
    return row(trial, probe, distances=(-np.log(shares) / slope).tolist(), **changes)


def table_of(name: str, rows: list[dict]) -> pl.DataFrame:
    """Rows as a table of results, or as that of trainings under way."""
    table = "training" if name == "unfinished" else name
    schema = pl.from_arrow(SCHEMAS[table].empty_table()).schema
    return pl.DataFrame(rows, schema=schema)


def store(root, rows: list[dict], table="evaluations") -> str:
    """Write rows as a run does, a part per trial."""
    for trial, group in itertools.groupby(rows, lambda r: r["trial"]):
        results.write(root, table, trial, list(group), PROVENANCE)
    return str(root)


def pictured(trial: Trial, attack: str = "fmn", pictures: int = 3, **changes) -> Page:
    """A page of a gallery; every picture is the same."""
    panels = [
        Panel(shows="upright", predicted=6),
        Panel(shows="rotated", degrees=-30.4, predicted=6),
        Panel(shows="perturbed", degrees=-30.4, predicted=0),
        Panel(shows="perturbation", degrees=-30.4),
    ]
    shown = [
        Picture(file=f"{trial.key()}-{attack}-{at}.png", group="first", position=at, true=6,
                panels=panels, distance=0.0871, enlarged=5.742)
        for at in range(pictures)
    ]  # fmt: skip
    fields = {"trial": trial.key(), "network": trial, "kind": "attack", "attack": attack, "n": 50}
    fields |= {"misclassified": 4, "reached": 46, "median": 0.0912, "pictures": shown}
    return Page(**fields | changes)
