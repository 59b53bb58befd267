"""The README stays true: its commands parse, its tables are generated, its snippets run."""

import itertools
import re
import shlex
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
from scipy import stats

import analysis
from analysis.__main__ import drawings
from analysis.claims import records, verdicts
from analysis.figures.registry import FIGURES
from analysis.report import pictures
from analysis.rows.loading import gather
from rotgrid import cost, experiment, grid, launch, models, plan_table, results, spec
from rotgrid.console import duration
from rotgrid.cost import shipped, speed
from rotgrid.grid.problems import GridError
from rotgrid.results import storage
from rotgrid.results.columns import column_table
from rotgrid.spec.attacks import ATTACKS
from rotgrid.spec.models import MODELS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
WORDS = " ".join(README.split())
DOCUMENTS = README + (ROOT / ".github/CONTRIBUTING.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def test_columns_are_those_of_the_schema():
    """If this fails: take the lines from the output of python -m rotgrid.results"""
    evaluations = column_table().partition("**`training/`**")[0].splitlines()
    head = "| column | type | unit | meaning |\n|---|---|---|---|\n"
    (table,) = README.split(head)[1:]
    lines = table.partition("\n\n")[0].splitlines()
    assert len(lines) > 10
    assert lines == [line for line in evaluations if line in lines]


@pytest.mark.parametrize(
    ("model", "variant"), [(name, v) for name, model in MODELS.items() for v in model.variants]
)
def test_parameter_counts_are_true(model, variant):
    count = models.count_parameters(models.build(model, variant))
    assert f"| `{model}` | `{variant}` | {count:,} |" in README


def launches():
    return re.findall(r"python -m rotgrid\.launch [^`\n#]+", README)


@pytest.mark.parametrize("command", launches())
def test_launch_commands_parse_and_their_grids_exist(command):
    words = shlex.split(command.replace("&&", "").replace("\\", ""))[3:]
    args = launch.parse_arguments(words)
    if args.grid.startswith("grids/"):
        assert grid.read(ROOT / args.grid, args.set).trials


def test_the_example_grid_is_valid():
    (example,) = blocks("yaml")
    assert grid.parse(example).rows > 0


def test_the_example_of_a_mistake_is_what_a_mistake_prints():
    (example,) = blocks("yaml")
    with pytest.raises(GridError) as caught:
        grid.parse(example.replace("stdcnn, gcnn", "stdcnn, gcn"), "mine.yaml")
    assert f"```\n{caught.value}\n```" in README


def test_python_snippets_run(tmp_path, monkeypatch, capsys):
    plan = grid.read(
        ROOT / "grids/quick.yaml",
        ["defaults.train_size=60", "defaults.epochs=1", "blocks.*.probes.*.n_images=20"],
    )
    chosen = {t: p for t, p in plan.trials.items() if t.train_rotation == 0}
    storage.put(tmp_path / "results/quick", "grids/quick.yaml", grid.dump(plan).encode())
    for trial, probes in chosen.items():
        experiment.run(trial, probes, tmp_path / "results/quick")
    monkeypatch.chdir(tmp_path)
    assert blocks("python")
    for snippet in blocks("python"):
        exec(compile(snippet, "README.md", "exec"), {})
    assert "accuracy" in capsys.readouterr().out


@pytest.mark.parametrize("target", re.findall(r"\]\((?!http|#)([^)]+)\)", DOCUMENTS))
def test_links_lead_somewhere(target):
    assert (ROOT / target).exists() or (ROOT / ".github" / target).exists()


def test_the_repository_names_no_machine():
    assert not re.search(r"(?<!\w)(/root|/home/(?!ray)|/work|/tmp)\b", DOCUMENTS)


def share(rows, **condition):
    """n_correct of n, as the README prints it."""
    (row,) = rows.filter(**condition).iter_rows(named=True)
    return f"{row['n_correct'] / row['n']:.1%} of {row['n']:,}"


def measured_table():
    """The table of docs/baseline: a line per network."""
    rows = analysis.load(ROOT / "docs/baseline").filter(
        pl.col("test_rotation") == pl.col("train_rotation")
    )
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


@pytest.fixture(scope="module")
def outcomes():
    """What the rows of docs/ say of every claim."""
    places = ("baseline", "architectures", "recipes")
    return verdicts.judge(analysis.load(*(ROOT / "docs" / place for place in places)))


def claims_table(outcomes):
    """A line per claim and setting; the sentence stands in the first of a claim."""
    lines, last = [], None
    for one in (one for one in outcomes if one.verdict != "not measured"):
        numbers = one.words.partition(". ")[0].partition("; missing")[0].removesuffix(".")
        setting = "; ".join(filter(None, [one.recipe, one.tier]))
        said = [one.id, one.figure, one.sentence] if one.id != last else [one.id, "", ""]
        cells = [*said, setting, f"**{one.verdict}**", numbers, f"{one.n:,}", f"{one.seeds}"]
        lines.append("| " + " | ".join(cells) + " |")
        last = one.id
    return lines


def test_claims_are_judged_by_the_stored_rows(outcomes):
    head = "| claim | figure | sentence | recipe; attack | verdict | numbers | n | seeds |\n"
    (table,) = README.split(f"{head}|---|---|---|---|---|---|---|---|\n")[1:]
    lines = claims_table(outcomes)
    assert len(lines) > 10
    assert table.partition("\n\n")[0].splitlines() == lines
    assert f"judges {len({one.id for one in outcomes})} sentences" in README
    assert records.disagreement(outcomes) in WORDS


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
        found = drawings(gather(ROOT / "docs" / place), pool, {figure: FIGURES[figure]})
        ((_, drawn),) = pictures.printed(pool, [found.drawn[figure].svg])
    size = slice(16, 24)  # width and height of a PNG
    assert (ROOT / f"docs/{picture}.png").read_bytes()[size] == drawn[size]
    if picture == "architectures":
        assert "![Accuracy of the six architectures" in WORDS
        assert found.drawn[figure].table["model"].n_unique() == 6


def test_every_fault_has_a_test():
    """The fault matrix: the last column names a test that there is, and no test of one is left."""
    table = README.partition("| fault | what happens | test |\n|---|---|---|\n")[2]
    named = {row.split("`")[-2] for row in table.partition("\n\n")[0].splitlines()}
    texts = [(ROOT / f"tests/fanout/test_{of}.py").read_text() for of in ("faults", "joining")]
    assert named == set(re.findall(r"^def (test_\w+)", "".join(texts), re.M))


def test_measured_numbers_are_those_of_the_stored_rows():
    lines = measured_table()
    assert len(lines) == 13
    for line in lines:
        assert line in README


def over_seeds(rows, **which):
    """Mean, least and most over three seeds."""
    found = rows.filter(**which).with_columns(share=100 * pl.col("n_correct") / pl.col("n"))
    assert found["seed"].sort().to_list() == [0, 1, 2]
    mean, least, most = (getattr(found["share"], of)() for of in ("mean", "min", "max"))
    return f"{mean:.1f}% ({least:.1f} to {most:.1f})"


def recipes_table():
    """The table of docs/recipes: a line per kind of training."""
    rows = analysis.load(ROOT / "docs/recipes")
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
    rows = analysis.load(ROOT / "docs/recipes").filter(recipe="fast", attack=attack, eps=eps)
    rows = rows.with_columns(share=100 * pl.col("n_correct") / pl.col("n"))
    kind = ["model", "adversary", "train_rotation", "epochs", "seed"]
    pairs = rows.pivot(on="precision", index=kind, values="share")
    gaps = (pairs["bfloat16"] - pairs["float32"]).to_numpy()
    low, high = stats.t.interval(0.95, len(gaps) - 1, gaps.mean(), stats.sem(gaps))
    return f"{gaps.mean():+.1f} ({low:+.1f} to {high:+.1f})", len(gaps)


def test_the_recipes_do_what_the_readme_says():
    for line in (lines := recipes_table()):
        assert line in README
    assert len(lines) == 13
    (clean, pairs), (attacked, _) = lowered("none", 0.0), lowered("fmn-pgd", 0.1)
    assert f"over {pairs} pairs of networks it changes accuracy by {clean} points" in WORDS
    assert f"under `fmn-pgd` at eps 0.1 by {attacked}" in WORDS


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
    rows = analysis.load(ROOT / "docs/architectures")
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
        assert line in README


def strong_table():
    """The table of docs/architectures under strong attacks: a line per network."""
    rows = analysis.load(ROOT / "docs/architectures")
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
        assert line in README


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
    rows = analysis.load(ROOT / "docs/calibration")
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
        assert line in README.replace("  ", " ")


def prices(name):
    """The table of docs/grids.md for a grid: rates of the reference core and of an H100."""
    plan = grid.read(ROOT / f"grids/{name}.yaml")
    known = [speed.Speed(shipped.CPU), speed.Speed(shipped.GPU)]

    def seconds(asked, trained, machine):
        return cost.estimate(asked, trained, machine).seconds.values()

    trained, rows, totals = set(), [], [0.0, 0.0]
    for block, asked in plan.blocks.items():
        hours = [sum(seconds(asked, trained, machine)) / 3600 for machine in known]
        totals = [total + one for total, one in zip(totals, hours, strict=True)]
        new = asked.keys() - trained
        trained |= new
        measured = sum(map(len, asked.values()))
        shown = " | ".join(map(plan_table.rounded, hours))
        rows.append(f"| `{block}` | {len(new):,} | {measured:,} | {shown} |")
    shown = " | ".join(map(plan_table.rounded, totals))
    rows.append(f"| all | {len(plan.trials):,} | {plan.rows:,} | {shown} |")
    slots = zip(known, (2, 8), strict=True)
    times = [plan_table.makespan(seconds(plan.trials, set(), machine), n) for machine, n in slots]
    rows.append("| time with 2 cores, 8 GPUs | | | " + " | ".join(map(duration, times)) + " |")
    return rows


@pytest.mark.parametrize("name", ["paper", "study", "study-fashion", "full"])
def test_prices_of_the_grids(name):
    """If this fails: the table in docs/grids.md should have these lines."""
    text = (ROOT / "docs/grids.md").read_text().partition(f"## `grids/{name}.yaml`")[2]
    table = text.partition("## `grids/")[0]
    assert [line for line in table.splitlines() if line.startswith("| ")][1:] == prices(name)


def reached():
    """The table of docs/study: what a recipe reaches without attack, rotated as in training."""
    rows = analysis.load(ROOT / "docs/study").filter(
        pl.col("attack") == "none", pl.col("test_rotation") == pl.col("train_rotation")
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
    text = (ROOT / "docs/study/README.md").read_text()
    assert [line for line in text.splitlines() if line.startswith("| `")] == reached()
