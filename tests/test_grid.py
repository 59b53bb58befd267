import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotgrid import grid, schema
from rotgrid.document import GridError
from rotgrid.spec import Probe, Trial

GRIDS = Path(__file__).parent.parent / "grids"


def problems(text, *overrides):
    with pytest.raises(GridError) as caught:
        grid.parse(text, "g.yaml", overrides)
    return [str(problem) for problem in caught.value.problems]


def test_lists_vary_and_scalars_fix():
    plan = grid.parse("blocks: [{model: [stdcnn, gcnn], train_rotation: [0, 60], epochs: 3}]")
    assert list(plan.trials) == [
        Trial(model="stdcnn", train_rotation=0, epochs=3),
        Trial(model="stdcnn", train_rotation=60, epochs=3),
        Trial(model="gcnn", train_rotation=0, epochs=3),
        Trial(model="gcnn", train_rotation=60, epochs=3),
    ]


def test_blocks_unite_and_answer_the_probes_of_both():
    plan = grid.parse(
        """
        blocks:
          - {model: gcnn, probes: {attack: fgsm, eps: [0.1, 0.3]}}
          - {model: [gcnn, stdcnn], probes: {attack: [none, fgsm], eps: 0.3}}
        """
    )
    gcnn, stdcnn = Trial(model="gcnn"), Trial(model="stdcnn")
    assert list(plan.trials) == [gcnn, stdcnn]
    assert [(p.attack, p.eps) for p in plan.trials[gcnn]] == [
        ("fgsm", 0.1),
        ("fgsm", 0.3),
        ("none", 0.0),
    ]
    assert [(p.attack, p.eps) for p in plan.trials[stdcnn]] == [("none", 0.0), ("fgsm", 0.3)]
    assert (plan.rows, plan.cells) == (5, 2 + 4)


def test_same_is_the_range_of_each_trial_and_merges_with_it():
    plan = grid.parse(
        "blocks: [{model: gcnn, train_rotation: [0, 60], probes: {test_rotation: [same, 60]}}]"
    )
    ranges = [[p.test_rotation for p in probes] for probes in plan.trials.values()]
    assert ranges == [[0.0, 60.0], [60.0]]


def test_a_block_without_probes_is_measured_without_attack():
    plan = grid.parse("blocks: [{model: gcnn}]")
    assert list(plan.trials.values()) == [(Probe().resolve(Trial(model="gcnn")),)]


def test_eps_does_not_multiply_what_has_no_eps():
    plan = grid.parse(
        "blocks: [{model: gcnn, adversary: [none, fgsm], adversary_eps: [0.1, 0.2],"
        " probes: {attack: [none, fgsm], eps: [0.1, 0.2]}}]"
    )
    assert (len(plan.trials), plan.rows, plan.cells) == (3, 9, 16)


def test_defaults_hold_for_blocks_that_do_not_say():
    plan = grid.parse(
        "{defaults: {data: mnist5k, seed: [0, 1]},"
        " blocks: [{model: gcnn}, {model: stdcnn, seed: 5}]}"
    )
    assert [(t.model, t.data, t.seed) for t in plan.trials] == [
        ("gcnn", "mnist5k", 0),
        ("gcnn", "mnist5k", 1),
        ("stdcnn", "mnist5k", 5),
    ]


def test_aliases_and_merge_keys():
    plan = grid.parse(
        """
        blocks:
          - &one {model: gcnn, epochs: 3, probes: &p [{attack: fgsm}]}
          - {<<: *one, epochs: 4}
          - {model: stdcnn, probes: *p}
        """
    )
    assert [(t.model, t.epochs) for t in plan.trials] == [("gcnn", 3), ("gcnn", 4), ("stdcnn", 10)]
    assert plan.rows == 3


def test_numbers_in_yaml_that_pyyaml_reads_as_text():
    plan = grid.parse("blocks: [{model: gcnn, learning_rate: [1e-3, 2E-2, .5]}]")
    assert [t.learning_rate for t in plan.trials] == [1e-3, 2e-2, 0.5]


def test_no_is_text_and_leads_to_none():
    assert problems("blocks: [{model: gcnn, adversary: no}]") == [
        "g.yaml:1:35: blocks.0.adversary: should be 'none', 'fgsm', 'fgsm-mix', 'fgsm-rs', 'pgd', "
        "'trades' or 'cusp' (attack used in training) (got 'no') - did you mean 'none'?"
    ]


def test_all_mistakes_are_reported_at_once_with_their_places():
    found = problems(
        """\
name: bad
blocks:
  - model: [stdcnn, gcn]
    train_rotation: [0, 200]
    seed: [0, true]
    sed: 3
    seed: 4
    probes:
      - {attack: [fgsm, pdg], test_rotation: [same, sam]}
  - {model: gcnn, variant: [doubled, table1], data: mnist5k, train_size: [100, 5000]}
  - {model: gcnn, data: mnist5k, probes: {n_images: 5000}}
resources: {gpu: 0.3, cpus: 1}
"""
    )
    places = [":".join(line.split(": ")[0].split(":")[1:]) for line in found]
    paths = [line.split(": ")[1] for line in found]
    assert dict(zip(paths, places, strict=True)) == {
        "blocks.0.model.1": "3:21",
        "blocks.0.train_rotation.1": "4:25",
        "blocks.0.seed.1": "5:15",
        "blocks.0.sed": "6:5",
        "blocks.0.seed": "7:5",
        "blocks.0.probes.0.attack.1": "9:25",
        "blocks.0.probes.0.test_rotation.1": "9:53",
        "blocks.1.variant.0": "10:29",
        "blocks.1.train_size.1": "10:80",
        "blocks.2.probes.n_images": "11:53",
        "resources.gpu": "12:18",
        "resources.cpus": "12:23",
    }
    text = "\n".join(found)
    assert "(got 'gcn') - did you mean 'gcnn'?" in text
    assert "unknown key (got 'sed') - did you mean 'seed'?" in text
    assert "a key given twice" in text
    assert "(got 200)" in text
    assert "choose from table1, halved" in text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "g.yaml:1:1: is empty"),
        ("[1]", "a grid is a mapping"),
        ("a: b: c", "g.yaml:1:5: not YAML"),
        ("blocks: []", "at least one block"),
        ("blocks: [3]", "g.yaml:1:10: blocks.0: a block is a mapping"),
        ("blocks: [{seed: 3}]", "blocks.0: a block needs `model`"),
        ("blocks: [{model: }]", "blocks.0.model: should be 'stdcnn', 'gcnn', "),
        ("blocks: [{model: []}]", "an empty list has no value"),
        ("blocks: [{model: [[gcnn]]}]", "(got ['gcnn'])"),
        ("blocks: [{model: gcnn, probes: []}]", "measures nothing"),
        ("blocks: [{model: gcnn, probes: [fgsm]}]", "a probe block is a mapping"),
        ("{defaults: [1], blocks: [{model: gcnn}]}", "defaults: should be a mapping"),
        ("{defaults: {epoch: 1}, blocks: [{model: gcnn}]}", "did you mean 'epochs'"),
        ("{resources: {gpu: [1, 2]}, blocks: [{model: gcnn}]}", "one number for all trials"),
        ("{block: [{model: gcnn}]}", "did you mean 'blocks'"),
        ("{name: ../up, blocks: [{model: gcnn}]}", "1:8: name: names files"),
        ("{name: 3, blocks: [{model: gcnn}]}", "(got 3)"),
        ("blocks: &b [*b]", "an alias that contains itself"),
        ("blocks: [{model: gcnn, seed: !!python/name:os.system x}]", "not a plain value"),
        ("blocks: [{model: gcnn, seed: 12:30:45}]", "valid integer"),
        (f"blocks: [{{model: gcnn, seed: {list(range(3000))}, probes: {{eps: "
         f"{[i / 1000 for i in range(1000)]}, attack: fgsm}}}}]", "3,000,000 cells"),
    ],
)  # fmt: skip
def test_broken_grids(text, problem):
    assert any(problem in line for line in problems(text)), problems(text)


@pytest.mark.parametrize("gpu", [0, 1, 2, 0.5, 0.25, 0.2, 0.125])
def test_gpu_shares(gpu):
    assert grid.parse(f"{{resources: {{gpu: {gpu}}}, blocks: [{{model: gcnn}}]}}").resources == (
        grid.Resources(gpu=gpu)
    )


def test_a_missing_file_is_a_problem_too(tmp_path):
    with pytest.raises(GridError, match=r"nope.yaml:1:1: cannot read the grid: No such file"):
        grid.read(tmp_path / "nope.yaml")


BASE = "{name: g, blocks: [{name: a, model: gcnn}, {name: b, model: stdcnn, seed: 3}]}"


@pytest.mark.parametrize(
    ("override", "seeds"),
    [
        ("blocks.*.seed=[0, 1]", [0, 1, 0, 1]),
        ("blocks.b.seed=7", [0, 7]),
        ("blocks.0.seed=7", [7, 3]),
        ("defaults.seed=9", [9, 3]),
    ],
)
def test_overrides(override, seeds):
    assert [t.seed for t in grid.parse(BASE, overrides=[override]).trials] == seeds


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("blocks.c.seed=1", "'c' is not in the grid"),
        ("seed", "should be PATH=VALUE"),
        ("block.0.seed=1", "did you mean 'blocks'"),
        ("blocks.0.seed.x.y=1", "'seed' is not in the grid"),
        ("blocks.0.model=gcn", "--set blocks.0.model=gcn:1:1: blocks.0.model: should be"),
        ("blocks.0.seed=[1", "not YAML"),
    ],
)
def test_wrong_overrides(override, problem):
    assert any(problem in line for line in problems(BASE, override)), problems(BASE, override)


names = st.sampled_from(["stdcnn", "gcnn"])
numbers = st.lists(st.integers(0, 180), min_size=1, max_size=4)


@given(
    st.lists(names, min_size=1, max_size=3),
    numbers,
    numbers,
    st.lists(st.floats(0, 1), min_size=1),
)
def test_laws_of_any_grid(models, ranges, tests, eps):
    block = {
        "model": models,
        "train_rotation": ranges,
        "probes": {"test_rotation": [*tests, "same"], "attack": ["none", "pgd"], "eps": eps},
    }
    text = json.dumps({"name": "g", "blocks": [block, block]})
    plan = grid.parse(text)
    assert len(plan.trials) == len(set(models)) * len(set(ranges))
    assert plan.rows == sum(len(set(probes)) for probes in plan.trials.values())
    assert plan.rows <= plan.cells
    assert grid.parse(grid.dump(plan)) == plan
    assert len({trial.key() for trial in plan.trials}) == len(plan.trials)


def test_axes_list_each_value_once():
    axes = grid.parse("blocks: [{model: gcnn, seed: [2, 1, 2]}]").axes()
    assert axes["seed"] == [2, 1]
    assert axes["attack"] == ["none"]


def test_schema_for_editors_is_current():
    """If this fails: python -m rotgrid.schema > grids/schema.json"""
    assert json.loads((GRIDS / "schema.json").read_text()) == schema.json_schema()


PINNED = {
    # grid: trials, rows
    "baseline": (13, 115),
    "quick": (12, 192),
    "full": (1_237, 40_836),
    "models": (12, 252),
    "architectures": (12, 252),
    "attacks": (12, 108),
    "calibration": (1, 7),
    "recipes": (78, 624),
}


@pytest.mark.parametrize("name", [path.stem for path in GRIDS.glob("*.yaml")])
def test_grids_have_the_size_that_their_headers_state(name):
    plan = grid.read(GRIDS / f"{name}.yaml")
    assert (len(plan.trials), plan.rows) == PINNED[name]
    assert f"{len(plan.trials):,} trial" in (GRIDS / f"{name}.yaml").read_text()
