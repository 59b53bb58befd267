"""Numbers of README, docs/measurements.md and docs/study are those of the stored rows."""

import itertools
import re
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest
from scipy import stats

import analysis
from analysis.claims import records
from analysis.figures.registry import FIGURES
from analysis.report import pictures
from analysis.report.drawing import lay_out
from analysis.rows.loading import gather
from analysis.stats import paired
from rotgrid import grid, results, spec
from rotgrid.results import storage
from rotgrid.spec.attacks import ATTACKS

from measured import (
    COUNTED,
    FIRST,
    gap,
    judged,
    lost_more,
    numbers_of,
    outcomes,
    points,
    stored,
    unaccounted,
)
from pages import PAGES, ROOT, lines_below, page, words

PAGE = page("measurements")
WORDS = words(PAGE)


def share(rows, **condition):
    """n_correct of n, as the pages print it."""
    (row,) = rows.filter(**condition).iter_rows(named=True)
    return f"{row['n_correct'] / row['n']:.1%} of {row['n']:,}"


def measured_table():
    """The table of docs/baseline: a line per network."""
    rows = stored("baseline").filter(pl.col("test_rotation") == pl.col("train_rotation"))
    kinds = [("paper", 10), ("fast", 4), ("fast", 10)]
    lines = []
    for (recipe, epochs), model, x in itertools.product(kinds, ["stdcnn", "gcnn"], [0, 60, 180]):
        own = rows.filter(recipe=recipe, epochs=epochs, model=model, train_rotation=float(x))
        if not own.is_empty():
            attacks = ("fgsm", "pgd") if recipe == "paper" else ()
            shares = [share(own, attack="none"), *(share(own, attack=a, eps=0.1) for a in attacks)]
            cells = [f"`{model}`", recipe, str(epochs), f"±{x}°", *shares, "", ""][:7]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def claims_table():
    """A line per claim and setting; the sentence stands in the first of a claim."""
    lines = []
    for settings in judged().values():
        for one in settings:
            said = [one.id, one.figure, one.sentence] if one is settings[0] else [one.id, "", ""]
            setting = "; ".join(filter(None, [one.recipe, one.tier]))
            cells = [*said, setting, f"**{one.verdict}**", numbers_of(one)]
            lines.append("| " + " | ".join([*cells, f"{one.n:,}", f"{one.seeds}"]) + " |")
    return lines


def test_claims_are_judged_by_the_stored_rows():
    head = "| claim | figure | sentence | recipe; attack | verdict | numbers | n | seeds |"
    lines = claims_table()
    assert len(lines) > 10
    assert lines_below(PAGE, head) == lines


@pytest.mark.parametrize(
    ("picture", "figure", "place"),
    [
        ("overview", "overview", "baseline"),
        ("difference", "difference", "baseline"),
        ("architectures", "figure12", "architectures"),
    ],
)
def test_pictures_are_as_large_as_what_the_stored_rows_give(picture, figure, place):
    """If this fails: python -m analysis docs/PLACE --out report, and take figures/FIGURE.png"""
    with ThreadPoolExecutor(1) as pool:
        found = lay_out(gather(ROOT / "docs" / place), pool, {figure: FIGURES[figure]}).drawings()
        ((_, drawn),) = pictures.printed(pool, [found.drawn[figure].svg])
    size = slice(16, 24)  # width and height of a PNG
    assert (ROOT / f"docs/{picture}.png").read_bytes()[size] == drawn[size]
    if picture == "architectures":
        assert "![Accuracy of the six architectures" in WORDS
        assert found.drawn[figure].table["model"].n_unique() == 6


def test_measured_numbers_are_those_of_the_stored_rows():
    lines = measured_table()
    assert len(lines) == 13
    for line in lines:
        assert line in PAGE


def over_seeds(rows, **which):
    """Mean, least and most over three seeds."""
    found = rows.filter(**which).with_columns(share=100 * pl.col("n_correct") / pl.col("n"))
    assert found["seed"].sort().to_list() == [0, 1, 2]
    mean, least, most = (getattr(found["share"], of)() for of in ("mean", "min", "max"))
    return f"{mean:.1f}% ({least:.1f} to {most:.1f})"


def recipes_table():
    """The table of docs/recipes: a line per kind of training."""
    rows = stored("recipes")
    fast = [("fast", p, e) for e in (2, 4) for p in ("float32", "bfloat16")]
    kinds = [
        (model, "none", *kind)
        for model in ("stdcnn", "gcnn")
        for kind in [("paper", "float32", 10), *fast]
    ]
    kinds += [("stdcnn", "fgsm", *kind) for kind in [("paper", "float32", 10), *fast[2:]]]
    lines = []
    for model, adversary, recipe, precision, epochs in kinds:
        own = rows.filter(
            model=model, adversary=adversary, recipe=recipe, precision=precision, epochs=epochs
        )
        cells = [f"`{model}`", adversary, recipe, precision, str(epochs)]
        for x in (0.0, 180.0):
            cells.append(over_seeds(own, train_rotation=x, attack="none"))
            cells.append(over_seeds(own, train_rotation=x, attack="fmn-pgd", eps=0.1))
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def lowered(attack, eps):
    """bfloat16 minus float32 in points, of pairs that differ in nothing else: mean, its 95 %
    interval by Student's t, and their number."""
    rows = stored("recipes").filter(recipe="fast", attack=attack, eps=eps)
    rows = rows.with_columns(share=100 * pl.col("n_correct") / pl.col("n"))
    kind = ["model", "adversary", "train_rotation", "epochs", "seed"]
    pairs = rows.pivot(on="precision", index=kind, values="share")
    gaps = (pairs["bfloat16"] - pairs["float32"]).to_numpy()
    low, high = stats.t.interval(0.95, len(gaps) - 1, gaps.mean(), stats.sem(gaps))
    return f"{gaps.mean():+.1f} ({low:+.1f} to {high:+.1f})", len(gaps)


def test_the_recipes_do_what_the_page_says():
    for line in (lines := recipes_table()):
        assert line in PAGE
    assert len(lines) == 13


@pytest.mark.parametrize("name", ["baseline", "architectures", "calibration", "recipes"])
def test_stored_rows_are_those_of_the_grid(name):
    """But for attacks that were revised since, whose rows are as they were before."""
    grids = [
        grid.parse(storage.get(ROOT / "docs" / name, file).decode())
        for file in storage.names(ROOT / "docs" / name, "grids", ".yaml")
    ]
    revised = [
        sum(ATTACKS[p.attack].revision > 1 for ps in plan.trials.values() for p in ps)
        for plan in grids
    ]
    problems = analysis.problems(ROOT / "docs" / name)
    assert len(problems) == sum(number > 0 for number in revised)
    for number in filter(None, revised):
        assert any(f"missing {number} in all" in problem for problem in problems)
    assert grid.read(ROOT / f"docs/{name}/grids/{name}.yaml").trials == (
        grid.read(ROOT / f"grids/{name}.yaml").trials
    )


def architectures_table():
    """The table of docs/architectures: a line per network."""
    rows = stored("architectures")
    layers = analysis.equivariance(ROOT / "docs/architectures").filter(layer="logits")
    lines = []
    six = ["stdcnn", "gcnn", "hnet", "ptn", "roteqnet", "capsnet"]
    for x, model in itertools.product([0.0, 180.0], six):
        own = rows.filter(model=model, train_rotation=x)
        turned = own.filter(attack="equivariance", test_rotation=45.0)
        shares = [
            share(own, attack="none", test_rotation=x),
            share(own, attack="fgsm", eps=0.1),
            share(own, attack="pgd", eps=0.1),
            share(turned, attack="equivariance"),
        ]
        (error,) = layers.filter(model=model, train_rotation=x, degrees=90.0)["error"]
        lines.append("| " + " | ".join([f"`{model}`", f"±{x:g}°", *shares, f"{error:.1g}"]) + " |")
    return lines


def test_numbers_of_the_architectures_are_those_of_the_stored_rows():
    lines = architectures_table()
    assert len(lines) == 12
    for line in lines:
        assert line in PAGE


def strong_table():
    """The table of docs/architectures under strong attacks: a line per network."""
    rows = stored("architectures")
    lines = []
    six = ["stdcnn", "gcnn", "hnet", "ptn", "roteqnet", "capsnet"]
    for x, model in itertools.product([0.0, 180.0], six):
        own = rows.filter(model=model, train_rotation=x)
        (distances,) = own.filter(attack="fmn")["distances"]
        shares = [
            share(own, attack="pgd", eps=0.1),
            share(own, attack="fmn-pgd", eps=0.1),
            share(own, attack="strong", eps=0.1),
            share(own, attack="fmn-pgd", eps=0.05),
            f"{distances.median():.3f}",
            share(own, attack="rotation-grid"),
        ]
        lines.append("| " + " | ".join([f"`{model}`", f"±{x:g}°", *shares]) + " |")
    return lines


def test_numbers_under_strong_attacks_are_those_of_the_stored_rows():
    lines = strong_table()
    assert len(lines) == 12
    for line in lines:
        assert line in PAGE


def test_strong_attacks_were_made_on_the_same_networks():
    plan = grid.read(ROOT / "grids/attacks.yaml")
    measured = results.measured_probes(ROOT / "docs/architectures")
    for trial, probes in plan.trials.items():
        first = {
            spec.digest(spec.without_added_defaults(probe)) for probe in probes
        }  # before revisions
        assert first <= measured[trial.key()]


def calibration_table():
    """The table of docs/calibration: a line per attack, from the weakest."""
    rows = stored("calibration")
    names = {
        "none": "no attack",
        "fgsm": "FGSM",
        ("pgd", 40): "PGD-40, 1 start",
        ("pgd", 100): "PGD-100, 10 starts",
        "apgd": "APGD-CE, 100 steps",
        "fmn": "FMN, 100 steps",
        "strong": "`strong`",
    }
    lines = []
    for attack, name in names.items():
        kind = {"attack": attack} if isinstance(attack, str) else dict(
            zip(("attack", "steps"), attack, strict=True)
        )  # fmt: skip
        lines.append(f"| {name} | {share(rows, **kind)} |")
    return lines


def test_the_calibration_is_that_of_the_stored_rows():
    for line in calibration_table():
        assert line in PAGE.replace("  ", " ")


def right(rows):
    """Which images the one network of these rows gets right."""
    (bits,) = paired.bits(rows).values()
    return bits == 1


def of_the_architectures():
    """What is said below the table of the architectures."""
    rows = stored("architectures")
    clean = rows.filter(attack="none")
    share = {
        key: 100 * n_correct / n
        for *key, n_correct, n in clean.select(
            "model", "train_rotation", "test_rotation", "n_correct", "n"
        ).iter_rows()
        for key in [tuple(key)]
    }
    upright = {model: of for (model, x, test), of in share.items() if (x, test) == (0, 0)}
    across = {model: of for (model, x, test), of in share.items() if (x, test) == (0, 180)}
    rotated = {model: of for (model, x, test), of in share.items() if (x, test) == (180, 180)}
    gained = [of - rotated["stdcnn"] for model, of in rotated.items() if model != "stdcnn"]
    pgd = rows.filter(attack="pgd", eps=0.1, train_rotation=180.0)
    kept = {m: 100 * n_correct / n for m, n_correct, n in pgd["model", "n_correct", "n"].rows()}
    stdcnn = kept.pop("stdcnn")
    hnet = upright.pop("hnet")
    assert stdcnn > max(kept.values())
    low, middle, high = (across[model] for model in ("stdcnn", "capsnet", "gcnn"))
    return (
        f"all but H-Net reach {min(upright.values()):.1f}% or more on upright digits, H-Net "
        f"{hnet:.1f}%",
        f"H-Net keeps {across['hnet']:.1f}%, PTN {across['ptn']:.1f}% and RotEqNet "
        f"{across['roteqnet']:.1f}%; GCNN (its logits are not invariant), CapsNet and StdCNN fall "
        f"to {high:.1f}%, {middle:.1f}% and {low:.1f}%",
        f"the five others beat StdCNN by {min(gained):.1f} to {max(gained):.1f} points",
        f"{stdcnn:.1f}% against {min(kept.values()):.1f}% to {max(kept.values()):.1f}%",
        "and all images: one seed",
    )


def of_strong_attacks():
    """What is said below the table of strong attacks, and below that of the calibration."""
    rows = stored("architectures").with_columns(share=100 * pl.col("n_correct") / pl.col("n"))
    weak, better, strong = (
        rows.filter(attack=attack, eps=0.1).sort("model", "train_rotation")["share"]
        for attack in ("pgd", "fmn-pgd", "strong")
    )
    assert ((better <= weak) & (strong <= better)).all()
    rotated = rows.filter(train_rotation=180.0)
    attacked = rotated.filter(pl.col("attack") != "fmn", eps=0.1).sort("share", descending=True)
    most = {attack: of["model"][0] for (attack,), of in attacked.group_by("attack")}
    assert most == {"fgsm": "gcnn"} | dict.fromkeys(("pgd", "fmn-pgd", "strong"), "stdcnn")

    def lead(eps):
        stdcnn, gcnn = (
            rotated.filter(attack="fmn-pgd", eps=eps, model=model) for model in ("stdcnn", "gcnn")
        )
        return gap(stdcnn, gcnn)

    madry = stored("calibration")
    many = madry.filter(attack="pgd", steps=100)
    (starts,) = many["restarts"]
    fmn, pgd, ensemble = (
        right(of) for of in (madry.filter(attack="fmn"), many, madry.filter(attack="strong"))
    )
    assert not (ensemble & ~pgd).any()
    (gradients,) = (many["steps"] * many["restarts"]).to_list()
    (epochs,), (images,) = madry["epochs"].unique(), madry["train_size"].unique()
    return (
        f"takes up to {(weak - better).max():.1f} points more",
        f"{lead(0.1)} at eps 0.1 and {lead(0.05)} at eps 0.05",
        f"({epochs} epochs of {images:,} images instead of 90; one seed)",
        f"breaks every one of the {pgd.size} images that PGD-100 with {starts} starts "
        f"breaks, and {COUNTED[(pgd & ~ensemble).sum()]} more",
        f"with {madry.filter(attack='fmn')['steps'][0]} gradients per image, breaks "
        f"{COUNTED[pgd.sum() - fmn.sum()]} more than this PGD, with {gradients:,}",
    )


def of_the_recipes():
    """What is said of the recipes."""
    rows = stored("recipes").with_columns(share=100 * pl.col("n_correct") / pl.col("n"))
    clean = rows.filter(attack="none", precision="float32")
    kind = ["model", "adversary", "train_rotation"]
    four, ten = (
        clean.filter(recipe=recipe, epochs=epochs).group_by(kind).agg(pl.mean("share")).sort(kind)
        for recipe, epochs in (("fast", 4), ("paper", 10))
    )
    assert (four["share"] > ten["share"]).all()
    trained = clean.filter(adversary="fgsm", train_rotation=180.0)
    collapsed = trained.filter(pl.col("share") < 50)
    assert collapsed["recipe"].to_list() == ["paper"]
    (change, pairs), (attacked, _) = lowered("none", 0.0), lowered("fmn-pgd", 0.1)
    seeds = rows.filter(
        attack="fmn-pgd", eps=0.1, model="gcnn", recipe="fast", epochs=4, train_rotation=0.0
    ).filter(precision="float32")["share"]
    (device,) = rows["device"].unique()
    assert "H100" in device
    return (
        f"three seeds of each, {rows['trial'].n_unique()} networks",
        "`paper`, 10 epochs) and fast (`fast`, 2 and 4 epochs",
        "on 10,000 test images rotated as in training, and on 1,000 of them",
        "Four fast epochs are more accurate than ten of `paper`",
        f"one seed of `paper` at ±180° ({collapsed['share'][0]:.1f}%",
        f"over {pairs} pairs of networks it changes accuracy by {change} points",
        f"under `fmn-pgd` at eps 0.1 by {attacked}",
        f"by four epochs of `fast`, keeps {seeds.min():.1f}% to {seeds.max():.1f}% by seed",
    )


PUBLISHED = (
    "Published numbers for 90 epochs: clean 98.3 to 99.0, FGSM 95 to 97, PGD-40 92 to 94, PGD-100 "
    "with 20 starts 88.5 to 90.5, AutoAttack 87.5 to 89.5."
)
"""Of others: no row can have them."""
SETTINGS = (
    r"(?i)`[^`]*`|Table 1|eps 0\.[13]|±\d+°|PGD-\d+|95 %|\b[BC]\d+\b|Madry et al. 2018|below 1%"
    r"|10,000 training images|\(8 epochs, batch 32; H-Net 16 epochs\)|FMN, 200 images"
    r"|30 steps each|\(0: invariant; 1\.4: unrelated\)|(by|within) \d+ degrees|up to 180 degrees"
    r"|0 to 180|all 10,000|fixed 1,000|at 0\.3|below 0|one seed|fewer than three seeds"
    r"|two networks|three ranges|of the three|six architectures|the twelve stored networks"
)
"""What the rows are of."""


def test_every_number_is_computed_from_rows_or_is_a_setting():
    """Tables are compared above, line by line."""
    text = re.sub(r"^\|.*$", "", PAGE, flags=re.M)
    first = outcomes(*FIRST)
    told = (
        f"judges {len({one.id for one in first})} sentences",
        records.disagreement(first),
        PUBLISHED,
        *of_the_architectures(),
        *of_strong_attacks(),
        *of_the_recipes(),
    )
    assert unaccounted(text, told, SETTINGS) == []


def reached():
    """The table of docs/study: what a recipe reaches without attack, rotated as in training."""
    rows = stored("study").filter(
        pl.col("attack") == "none",
        pl.col("mode") == "eval",
        pl.col("test_rotation") == pl.col("train_rotation"),
    )
    lines = []
    for (model, variant, recipe, x), own in rows.sort("model", "train_rotation").group_by(
        "model", "variant", "recipe", "train_rotation", maintain_order=True
    ):
        own = own.sort("seed")
        shares = ", ".join(f"{share:.2%}" for share in own["n_correct"] / own["n"])
        lines.append(
            f"| `{model}` | `{variant}` | `{recipe}` | ±{x:g}° | {own['n'][0]:,} | {shares} |"
        )
    return lines


def test_what_recipes_reach_is_what_the_stored_rows_say():
    """If this fails: the table in docs/study/README.md should have these lines."""
    text = PAGES["docs/study/README.md"]
    assert [line for line in text.splitlines() if line.startswith("| `")] == reached()


README = PAGES["README.md"]
STORED = ("architectures", "baseline", "calibration", "recipes", "study")


def test_the_table_of_the_readme_is_a_part_of_that_of_the_recipes():
    lines = []
    for line in recipes_table():
        model, adversary, *kind, clean, robust, clean_rotated, robust_rotated = line.split(" | ")
        if adversary == "none" and kind in (["paper", "float32", "10"], ["fast", "float32", "4"]):
            lines.append(
                " | ".join([model, kind[0], clean, robust, clean_rotated, robust_rotated])
            )
    assert len(lines) == 4
    head = README.partition("| model | recipe |")[2].partition("\n")[0]
    assert lines_below(README, f"| model | recipe |{head}") == lines


def robust_means():
    """Mean accuracy under attack in percent by model, recipe and range, of the readme's table."""
    rows = stored("recipes").filter(
        (pl.col("recipe") == "paper") | ((pl.col("recipe") == "fast") & (pl.col("epochs") == 4)),
        adversary="none",
        precision="float32",
        attack="fmn-pgd",
        eps=0.1,
    )
    means = rows.group_by("model", "recipe", "train_rotation").agg(
        100 * pl.sum("n_correct") / pl.sum("n")
    )
    return {tuple(key): mean for *key, mean in means.iter_rows()}


def test_the_recipe_matters_more_than_the_network_and_rotations_most():
    means = robust_means()
    assert len(means) == 8
    models, recipes, ranges = (set(values) for values in zip(*means, strict=True))
    of_recipe = [abs(means[m, "paper", x] - means[m, "fast", x]) for m in models for x in ranges]
    of_model = [abs(means["gcnn", r, x] - means["stdcnn", r, x]) for r in recipes for x in ranges]
    assert min(of_recipe) > max(of_model)
    assert all(means[m, r, 180.0] < means[m, r, 0.0] - 50 for m in models for r in recipes)


def test_what_is_decided_is_what_the_readme_says():
    every = outcomes(*FIRST)
    measured = [one for one in every if one.verdict != "not measured"]
    verdict_of = {}
    for one in (one for one in measured if one.verdict != "described"):
        assert one.seeds >= 3
        verdict_of.setdefault(one.verdict, []).append(one.id)
    told = "; ".join(
        f"{', '.join(dict.fromkeys(ids))} **{verdict}**" for verdict, ids in verdict_of.items()
    )
    every, some = ({one.id for one in group} for group in (every, measured))
    judged = set().union(*verdict_of.values())
    assert (
        f"Of the {len(every)} sentences that the analysis judges, {len(some)} have rows, and "
        f"{len(judged)} have rows of three seeds: {told}"
    ) in words(README)
    assert verdict_of["too close to call"].count("B1") == 5
    assert "**too close to call** in all five settings with three seeds" in words(README)


def test_what_the_study_leaves_under_strong_is_what_the_readme_says():
    rows = stored("study").filter(recipe="paper", attack="strong")
    found = []
    for eps in (0.1, 0.05):
        own = rows.filter(pl.col("train_rotation") == pl.col("test_rotation"), eps=eps)
        seeds = own.group_by("model", "train_rotation").agg(pl.col("seed").sort())["seed"]
        assert seeds.to_list() == 4 * [[0, 1, 2, 3, 4]]
        change = lost_more(lambda model, x, own=own: own.filter(model=model, train_rotation=x))
        found.append(points(change))
    assert f"change less StdCNN's is {found[0]} at eps 0.1, and {found[1]} at 0.05" in words(
        README
    )
    ahead = [
        gap(*(at_180.filter(model=model) for model in ("gcnn", "stdcnn")))
        for at_180 in (
            stored("study").filter(recipe=r, attack="strong", eps=0.05, train_rotation=180.0)
            for r in ("paper", "converged")
        )
    ]
    assert [one[0] for one in ahead] == ["+", "-"]
    assert "more than StdCNN at ±180° by `paper`, less by `converged`" in words(README)
    passed = analysis.diagnostics(ROOT / "docs/study").filter(check="twice-the-restarts")["passed"]
    told = f"of {(~passed).sum()} of {len(passed)} networks twice the restarts break more"
    assert told in words(README)


def test_the_study_is_as_far_as_the_readme_says():
    plan = grid.read(ROOT / "grids/study.yaml")
    measured = results.measured_probes(ROOT / "docs/study")
    complete = [
        name
        for name, asked in plan.blocks.items()
        if all(
            {probe.key() for probe in probes} <= measured.get(trial.key(), set())
            for trial, probes in asked.items()
        )
    ]
    assert f"{len(plan.trials)} networks on full MNIST" in words(README)
    assert (not complete) == ("No block of it is complete" in words(README))


def test_stored_rows_are_of_mnist_as_the_page_on_the_method_says():
    rows = stored(*STORED)
    assert ("All rows stored in this repository are of MNIST." in words(page("method"))) == (
        set(rows["data"]) == {"mnist"}
    )
