import itertools
import json
from pathlib import Path

import jsonschema  # which Ray brings along
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rotgrid import grid
from rotgrid.grid import schema
from rotgrid.grid.problems import GridError
from rotgrid.grid.spelling import nearest
from rotgrid.spec import Probe, Trial, grid_fields
from rotgrid.spec.models import MODELS

GRIDS = Path(__file__).parents[2] / "grids"


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
    assert plan.rows == 5


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
    assert (len(plan.trials), plan.rows) == (3, 9)


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
        "g.yaml:1:35: blocks.0.adversary: should be 'none', 'fgsm', 'fgsm-mix', 'fgsm-rs', "
        "'n-fgsm', 'pgd', 'trades' or 'cusp', or a function of your own as "
        "package.module:function (attack used in training) (got 'no') - did you mean 'none'?"
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
        ("blocks: [&a {model: gcnn}, {<<: a, seed: 1}]", "1:33: blocks.1.<<: merges mappings"),
        ("blocks: [{<<: [3, {seed: 1}], model: gcnn}]", "blocks.0.<<: merges mappings"),
        ("blocks: [{model: gcnn, [a]: 6, {b: 1}: 2}]", "1:24: blocks.0.?: a key is not plain"),
        ("blocks: [{model: gcnn, probes: {attack: transfer, eps: 0.1}}]",
         "1:32: blocks.0.probes: source is needed by transfer; choose from stdcnn"),
        ("blocks: [{model: gcnn, probes: {attack: pgd, eps: [3, 3.5], eps_unit: normalised}}]",
         "1:51: blocks.0.probes.eps: is 1.08 pixel on mnist; linf: at most 1 pixel (got 3.5)"),
        ("blocks: [{<<: , model: gcnn}]", "blocks.0.<<: merges mappings"),
        ("blocks: [{model: gcnn, learning_rate: 1e400}]", "a finite number"),
        ("blocks: [{model: gcnn, learning_rate: 1e13}]", "less than or equal to 1000000000000"),
        (f"blocks: [{{model: gcnn, batch_size: {10**23}}}]", "less than or equal to 1000000"),
        (f"blocks: [{{model: gcnn, seed: {'9' * 5000}}}]", "not a plain value"),
        ("{resources: {retries: 1e9}, blocks: [{model: gcnn}]}", "valid integer"),
        ("{resources: {cpu: 999999}, blocks: [{model: gcnn}]}", "less than or equal to 1024"),
        (f"{{name: {'a' * 101}, blocks: [{{model: gcnn}}]}}", "up to 100 letters"),
        ("blocks: [{model: gcnn, epochs: 0}]", "should be 1 or more, or 0 with `train_steps`"),
        ("blocks: [{model: resnet18}]", "(got 'resnet18') - did you mean 'resnet'?"),
        ("blocks: [{model: gcnn, probes: {attack: fmn, steps: 0}}]", "1 or more for fmn"),
        (f"blocks: {'[' * 2000}{']' * 2000}", "is nested too deeply"),
        ("blocks: [&b {<<: &c {<<: *b}}]", "an alias that contains itself"),
        (f"blocks: [{{model: gcnn, seed: {list(range(3000))}, probes: {{eps: "
         f"{[i / 1000 for i in range(1000)]}, attack: fgsm}}}}]", "3,000,000 cells"),
    ],
)  # fmt: skip
def test_broken_grids(text, problem):
    assert any(problem in line for line in problems(text)), problems(text)


@pytest.mark.parametrize("gpu", [0, 1, 0.5, 0.25, 0.2, 0.125])
def test_gpu_shares(gpu):
    assert grid.parse(f"{{resources: {{gpu: {gpu}}}, blocks: [{{model: gcnn}}]}}").resources == (
        grid.Resources(gpu=gpu)
    )


@pytest.mark.parametrize(
    ("gpu", "reason"),
    [
        (2, "one process on one GPU"),
        (1.5, "one process on one GPU"),
        (0.3, "a share of a GPU is 1/k"),
        (-1, "greater than or equal to 0"),
        ("1e400", "a finite number"),
        ("all", "a valid number"),
    ],
)
def test_gpu_shares_that_no_trial_can_use(gpu, reason):
    (problem,) = problems(f"{{resources: {{gpu: {gpu}}}, blocks: [{{model: gcnn}}]}}")
    assert problem.startswith("g.yaml:1:19: resources.gpu: ")
    assert reason in problem


@pytest.mark.parametrize(
    "block",
    [
        "probes: {attack: fgsm, steps: 10}",
        "probes: {attack: none, eps: 0.1}",
        "probes: {eps: 0.1}",
        "probes: {attack: [bim, fgsm], steps: 100}",
        "probes: {attack: [bim, fgsm], loss: margin}",
        "probes: {attack: strong, restarts: 5}",
        "probes: {attack: pgd, source: gcnn}",
        "probes: {attack: rotation-grid, test_translation: 2}",
        "probes: {attack: translation-grid, test_rotation: 2}",
        "probes: {attack: equivariance, test_translation: 2}",
        "probes: [{attack: pgd}, {attack: [none, noise], label_rule: predicted}]",
        "probes: {attack: [strong, bim], clip: none}",
        "probes: {attack: none, clip: [none, normalised]}",
        "probes: {attack: [none, rotation-grid], threat: l2}",
        "probes: {attack: [apgd, square], mode: [eval, train]}",
        "interpolation: nearest, train_rotation: [0, 0.0]",
        "interpolation: nearest, train_translation: [0, 0.0]",
        "adversary_eps: 0.1",
        "epochs: 3, train_steps: [100, 200]",
        "adversary: none, adversary_eps: [0.1, 0.2]",
    ],
)
def test_a_field_that_nothing_in_its_block_reads(block):
    """At the place of its key, wherever that is."""
    text = f"blocks: [{{model: gcnn, {block}}}]"
    (problem,) = problems(text)
    place, _, message = problem.partition(": ")
    path, _, message = message.partition(": ")
    column = int(place.rpartition(":")[2])
    assert text[column - 1 :].startswith(path.rpartition(".")[2] + ":")
    assert "is not read: " in message


def test_a_default_that_no_block_reads():
    text = "{defaults: {adversary_eps: 0.1}, blocks: [{model: gcnn}, {model: stdcnn%s}]}"
    (problem,) = problems(text % "")
    assert problem.startswith("g.yaml:1:13: defaults.adversary_eps: is not read")
    assert problems(text % ", adversary: fgsm, adversary_eps: 0.2")
    assert len(grid.parse(text % ", adversary: fgsm").trials) == 2


def test_a_field_that_something_in_its_block_reads():
    plan = grid.parse(
        "blocks: [{model: gcnn, adversary: [none, fgsm], adversary_eps: 0.1,"
        " probes: {attack: [none, fgsm, pgd], eps: 0.1, steps: 10}}]"
    )
    assert (len(plan.trials), plan.rows) == (2, 6)


def test_an_override_of_everything_may_reach_what_does_not_read_it():
    text = "blocks: [{model: gcnn, probes: [{attack: none}, {attack: pgd}]}]"
    plan = grid.parse(text, overrides=["blocks.*.probes.*.steps=7"])
    assert [p.steps for p in grid.distinct_probes(plan)] == [0, 7]
    assert "is not read" in problems(text, "blocks.0.probes.0.steps=7")[0]


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
        ("blocks.a.seed=[[*x]]", "not YAML"),
        ("blocks..seed=1", "'' is not in the grid; there is 0, 1, a, b, *"),
    ],
)
def test_wrong_overrides(override, problem):
    assert any(problem in line for line in problems(BASE, override)), problems(BASE, override)


def lists(*values):
    return st.lists(st.sampled_from(values), min_size=1, max_size=3)


def fields(**values):
    """A mapping with some of these fields, each a scalar or a list."""
    either = {k: st.sampled_from(v) | lists(*v) for k, v in values.items()}
    return st.fixed_dictionaries({}, optional=either)


PROBES = st.builds(
    lambda attacks, more: {"attack": ["pgd", *attacks], **more},
    lists("fgsm", "none", "noise", "pgd"),
    fields(eps=[0, 0.1, 0.2], test_rotation=["same", 0, -0.0, 60, 90.0], n_images=[0, 50, 10_000]),
) | fields(test_rotation=["same", 60], n_images=[0, 50])
TRAINING = fields(
    recipe=["paper", "original", "fast"], train_rotation=[0, 60.0, 90], seed=[0, 1], epochs=[10, 3]
)
DEFAULTS = fields(train_rotation=[0, -0.0, 60], interpolation=["nearest", "bilinear"])


@st.composite
def blocks(draw, probes):
    block = {"model": draw(lists("stdcnn", "gcnn", "hnet")), **draw(TRAINING), "probes": probes}
    if draw(st.booleans()):
        block |= {"adversary": ["fgsm", *draw(lists("none", "cusp"))]}
        block |= {"adversary_eps": draw(lists(0.1, 0.2))}
    return block


@st.composite
def grids(draw):
    """A grid as plain data, in which blocks share probes, and overrides of it."""
    shared = [draw(st.lists(PROBES, min_size=1, max_size=2)) for _ in range(2)]
    made = [draw(blocks(shared[draw(st.integers(0, 1))])) for _ in range(draw(st.integers(1, 3)))]
    if draw(st.booleans()):
        made.append(made[0])
    places = st.sampled_from(["*", *map(str, range(len(made)))])
    keys = st.sampled_from(["seed", "probes.*.n_images"])
    changes = draw(st.lists(st.tuples(places, keys, lists(1, 2)), max_size=2))
    return {"name": "g", "defaults": draw(DEFAULTS), "blocks": made}, changes


def parsed(content, changes):
    text = yaml.safe_dump(content, sort_keys=False)  # what is shared becomes an alias
    return grid.parse(text, overrides=[f"blocks.{at}.{key}={value}" for at, key, value in changes])


def overridden(document, changes):
    """The document after overrides; nothing in it is shared."""
    document = json.loads(json.dumps(document))
    for at, key, value in changes:
        chosen = document["blocks"] if at == "*" else [document["blocks"][int(at)]]
        for block in chosen:
            for target in [block] if key == "seed" else block["probes"]:
                target[key.rpartition(".")[2]] = value
    return document


def records(record, values):
    """All combinations of the values of some fields."""
    each = [value if isinstance(value, list) else [value] for value in values.values()]
    return [
        record(**dict(zip(values, chosen, strict=True))) for chosen in itertools.product(*each)
    ]


def united(document):
    """The plan by its definition: the trials of each block with its probes, united."""
    plan = {}
    for block in document["blocks"]:
        training = {k: v for k, v in block.items() if k != "probes"}
        for trial in records(Trial, {**document["defaults"], **training}):
            asked = [p.resolve(trial) for each in block["probes"] for p in records(Probe, each)]
            plan.setdefault(trial, set()).update(asked)
    return plan


@given(grids())
def test_the_plan_is_the_union_of_its_blocks(grid_and_changes):
    plan = parsed(*grid_and_changes)
    assert {trial: set(ps) for trial, ps in plan.trials.items()} == united(
        overridden(*grid_and_changes)
    )
    assert plan.rows == sum(len(set(probes)) for probes in plan.trials.values())


@given(grids())
def test_the_shares_of_the_blocks_make_up_the_plan_and_do_not_overlap(grid_and_changes):
    plan = parsed(*grid_and_changes)
    pairs = [(t, p) for own in plan.blocks.values() for t, probes in own.items() for p in probes]
    assert len(pairs) == plan.rows
    assert set(pairs) == {(t, p) for t, probes in plan.trials.items() for p in probes}
    assert {t for own in plan.blocks.values() for t in own} == set(plan.trials)


@given(grids())
def test_equal_trials_have_equal_keys_and_unequal_ones_unequal_keys(grid_and_changes):
    plan = parsed(*grid_and_changes)
    trials, probes = list(plan.trials), grid.distinct_probes(plan)
    assert len({trial.key() for trial in trials}) == len(trials)
    assert len({probe.key() for probe in probes}) == len(probes)
    again = Trial(**{**trials[0].model_dump(), "recipe": "original"})
    assert (again == trials[0]) == (again.key() == trials[0].key())


@given(grids(), st.randoms())
def test_the_order_of_blocks_changes_the_order_of_trials_alone(grid_and_changes, random):
    document = overridden(*grid_and_changes)
    plan = parsed(document, [])
    random.shuffle(document["blocks"])
    shuffled = parsed(document, [])
    assert plan.cartesian() == shuffled.cartesian()
    assert {t: set(ps) for t, ps in plan.trials.items()} == {
        t: set(ps) for t, ps in shuffled.trials.items()
    }


@given(grids(), st.text(), st.sampled_from(["", "no", "1e3", "12:30", "[eps]", "a: b", "é"]))
def test_a_plan_is_parsed_from_what_it_is_dumped_to(grid_and_changes, text, description):
    document, changes = grid_and_changes
    plan = parsed(document, changes)
    assert grid.parse(grid.dump(plan)) == plan
    for words in (description, text):
        described = grid.parse(json.dumps({**overridden(document, []), "description": words}))
        assert grid.parse(grid.dump(described)) == described


def test_a_trial_that_a_block_names_twice():
    """Unions were once cached by the identity of tuples that were gone."""
    plan = grid.parse(
        """
        blocks:
          - {model: stdcnn, probes: {attack: none, test_rotation: [0, 90, 180]}}
          - {model: gcnn, probes: {attack: fgsm, eps: 0.1}}
          - model: [stdcnn, gcnn]
            adversary: [none, fgsm]
            adversary_eps: [0.1, 0.3]
            probes: {attack: pgd, eps: [0.1, 0.2]}
        """
    )
    asked = [(p.attack, p.eps) for p in plan.trials[Trial(model="gcnn")]]
    assert asked == [("fgsm", 0.1), ("pgd", 0.1), ("pgd", 0.2)]


def test_two_names_of_one_recipe_are_one_trial():
    plan = grid.parse("blocks: [{model: [stdcnn, hnet], recipe: [original, paper]}]")
    assert [(t.model, t.recipe) for t in plan.trials] == [
        ("stdcnn", "paper"),
        ("hnet", "original"),
        ("hnet", "paper"),
    ]


SHARED = """
blocks:
  - &first {name: a, model: stdcnn, probes: &probes [{attack: none}, {attack: pgd}]}
  - {name: b, model: gcnn, probes: *probes}
  - {<<: *first, model: hnet}
"""


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("blocks.b.probes.1.n_images=7", {"gcnn"}),
        ("blocks.a.probes.1.n_images=7", {"stdcnn"}),
        ("blocks.2.probes.*.n_images=7", {"hnet"}),
        ("blocks.*.probes.0.n_images=7", {"stdcnn", "gcnn", "hnet"}),
    ],
)
def test_an_override_changes_what_it_names_and_not_what_shares_its_text(override, changed):
    before, after = grid.parse(SHARED), grid.parse(SHARED, overrides=[override])
    assert list(before.trials) == list(after.trials)
    assert {t.model for t in after.trials if after.trials[t] != before.trials[t]} == changed


def test_an_override_of_one_of_two_blocks_of_a_name():
    text = "blocks: [{name: a, model: gcnn}, {name: a, model: stdcnn}]"
    assert problems(text, "blocks.a.seed=1") == [
        "--set blocks.a.seed=1:1:1: 2 blocks are named 'a': use their index, [0, 1]"
    ]
    assert len(grid.parse(text, overrides=["blocks.*.seed=1"]).trials) == 2


@pytest.mark.parametrize(
    ("names", "models"),
    [(["A"], ["stdcnn", "gcnn"]), (["A-2"], ["gcnn"]), (["AB", "A-1"], ["stdcnn", "hnet"]),
     ([], ["stdcnn", "gcnn", "hnet", "ptn"])],
)  # fmt: skip
def test_some_blocks_of_a_grid(names, models):
    blocks = {"A-1": "stdcnn", "A-2": "gcnn", "AB": "hnet", "": "ptn"}
    text = json.dumps({"blocks": [{"name": n, "model": m} for n, m in blocks.items()]})
    plan = grid.parse(text, blocks=names)
    assert [trial.model for trial in plan.trials] == models
    assert grid.parse(grid.dump(plan)) == plan


@pytest.mark.parametrize("name", ["B", "a", "A-", ""])
def test_a_block_that_is_not_there(name):
    with pytest.raises(GridError, match=r"--block .*no block has such a name; there is A-1, A-2"):
        grid.parse("blocks: [{name: A-1, model: gcnn}, {name: A-2, model: ptn}]", blocks=[name])


def test_aliases_of_aliases_are_refused_before_they_are_expanded():
    lines = ["a0: &a0 [x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    (problem,) = problems("\n".join([*lines, "blocks: [{model: stdcnn}]"]))
    assert "more than the 200,000 allowed" in problem


def test_what_a_block_asks_for_first_is_its_own():
    plan = grid.parse(
        """
        defaults: {epochs: 1}
        blocks:
          - {name: a, model: [stdcnn, gcnn], probes: {attack: fgsm, eps: [0.1, 0.2]}}
          - {model: gcnn, seed: [0, 1], probes: {attack: [none, fgsm], eps: 0.2}}
        """
    )
    shares = {
        name: [(t.model, t.seed, [p.attack for p in probes]) for t, probes in own.items()]
        for name, own in plan.blocks.items()
    }
    assert shares == {
        "a": [("stdcnn", 0, ["fgsm", "fgsm"]), ("gcnn", 0, ["fgsm", "fgsm"])],
        "blocks.1": [("gcnn", 0, ["none"]), ("gcnn", 1, ["none", "fgsm"])],
    }


def test_the_cartesian_grid_is_of_all_axes_that_the_grid_names():
    plan = grid.parse(
        """
        defaults: {epochs: [1, 2], recipe: fast}
        blocks:
          - {model: [stdcnn, gcnn], probes: {attack: fgsm, eps: [0.1, 0.2]}}
          - {model: stdcnn, seed: [0, 1, 2], probes: [{attack: none}, {attack: pgd, eps: 0.3}]}
        """
    )
    axes = {"model": 2, "epochs": 2, "seed": 3, "attack": 3, "eps": 3}
    assert plan.cartesian() == axes
    assert grid.parse("blocks: [{model: gcnn}]").cartesian() == {}


def test_cells_are_counted_over_all_blocks():
    block = f"{{model: gcnn, seed: {list(range(1500))}}}"
    probes = f"probes: {{attack: fgsm, eps: {[i / 1000 for i in range(1000)]}}}"
    text = f"blocks: [{', '.join([block[:-1] + ', ' + probes + '}'] * 2)}]"
    assert any("blocks: has 3,000,000 cells" in line for line in problems(text))


@pytest.mark.parametrize(
    ("word", "meant"),
    [("gcn", "gcnn"), ("pdg", "pgd"), ("no", "none"), ("fgms", "fgsm"), ("cnn", "gcnn"),
     ("resnet18", "resnet"), ("vgg", None), ("", None)],
)  # fmt: skip
def test_the_choice_that_was_meant(word, meant):
    assert nearest(word, [*MODELS, "pgd", "none", "fgsm"]) == meant


def test_axes_list_each_value_once():
    axes = grid.parse("blocks: [{model: gcnn, seed: [2, 1, 2]}]").axes()
    assert axes["seed"] == [2, 1]
    assert axes["attack"] == ["none"]


def test_schema_for_editors_is_current():
    """If this fails: python -m rotgrid.grid.schema > grids/schema.json"""
    assert json.loads((GRIDS / "schema.json").read_text()) == schema.json_schema()


@pytest.fixture(scope="module")
def validator():
    jsonschema.Draft202012Validator.check_schema(schema.json_schema())
    return jsonschema.Draft202012Validator(schema.json_schema())


@pytest.mark.parametrize("path", [*GRIDS.glob("*.yaml")], ids=lambda path: path.stem)
def test_the_schema_accepts_the_shipped_grids(path, validator):
    assert [e.message for e in validator.iter_errors(grid.read(path).document)] == []


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("blocks: [{model: gcnn}]", True),
        ("{defaults: {model: gcnn}, blocks: [{seed: 3}]}", True),
        ("blocks: [{model: hnet, variant: 2018}]", True),
        ("blocks: [{model: [stdcnn, gcnn], variant: table1}]", True),
        ("blocks: [{model: gcnn, probes: {attack: [none, pgd], eps: [0.1, 0.2]}}]", True),
        ("blocks: [{model: gcnn, probes: {attack: transfer, source: hnet}}]", True),
        ("blocks: []", False),
        ("blocks: [3]", False),
        ("{block: [{model: gcnn}]}", False),
        ("blocks: [{seed: 3}]", False),
        ("{defaults: {seed: 3}, blocks: [{epochs: 3}]}", False),
        ("blocks: [{model: gcn}]", False),
        ("blocks: [{model: [stdcnn, gcn]}]", False),
        ("blocks: [{model: []}]", False),
        ("blocks: [{model: [[gcnn]]}]", False),
        ("blocks: [{model: gcnn, variant: doubled}]", False),
        ("blocks: [{model: gcnn, variant: [table1, doubled]}]", False),
        ("blocks: [{model: gcnn, sed: 3}]", False),
        ("blocks: [{model: gcnn, train_rotation: [0, 200]}]", False),
        ("blocks: [{model: gcnn, seed: [0, true]}]", False),
        ("blocks: [{model: gcnn, batch_size: 0}]", False),
        ("blocks: [{model: gcnn, learning_rate: 1e13}]", False),
        ("blocks: [{model: gcnn, probes: []}]", False),
        ("blocks: [{model: gcnn, probes: [fgsm]}]", False),
        ("blocks: [{model: gcnn, probes: {attack: [fgsm, pdg]}}]", False),
        ("blocks: [{model: gcnn, probes: {test_rotation: [same, sam]}}]", False),
        ("blocks: [{model: gcnn, probes: {attack: transfer, eps: 0.1}}]", False),
        ("{defaults: [1], blocks: [{model: gcnn}]}", False),
        ("{defaults: {epoch: 1}, blocks: [{model: gcnn}]}", False),
        ("{resources: {gpu: [1, 2]}, blocks: [{model: gcnn}]}", False),
        ("{resources: {gpu: 2}, blocks: [{model: gcnn}]}", False),
        ("{resources: {cpus: 1}, blocks: [{model: gcnn}]}", False),
        ("{name: ../up, blocks: [{model: gcnn}]}", False),
        ("{name: 3, blocks: [{model: gcnn}]}", False),
    ],
)
def test_the_schema_refuses_what_a_grid_may_not_be(text, accepted, validator):
    """What it refuses `parse` refuses too."""
    assert validator.is_valid(yaml.safe_load(text.replace("1e13", "1.0e+13"))) == accepted
    if accepted:
        grid.parse(text)
    else:
        with pytest.raises(GridError):
            grid.parse(text)


def test_the_schema_defines_each_field_once_with_what_an_editor_shows():
    found = schema.json_schema()
    defined = found["$defs"]
    assert set(defined) == {"block", "probe", *grid_fields(Trial), *grid_fields(Probe)}
    assert all("\n" not in each["description"] for each in defined.values())
    assert (defined["data"]["default"], defined["eps"]["default"]) == ("mnist", 0.3)
    assert "default" not in defined["epochs"]  # that of the recipe
    for fields in (found["properties"]["defaults"], defined["block"], defined["probe"]):
        names = set(fields["properties"]) - {"name", "probes"}
        assert all(fields["properties"][n] == {"$ref": f"#/$defs/{n}"} for n in names)


PINNED = {
    # grid: trials, rows
    "baseline": (13, 115),
    "quick": (12, 192),
    "full": (6_362, 435_562),
    "paper": (1_980, 34_020),
    "models": (12, 252),
    "conventions": (12, 252),
    "architectures": (12, 252),
    "attacks": (12, 108),
    "calibration": (1, 7),
    "recipes": (78, 624),
    "study": (640, 35_696),
    "study-fashion": (72, 5_952),
}


@pytest.mark.parametrize("name", [path.stem for path in GRIDS.glob("*.yaml")])
def test_grids_have_the_size_that_their_headers_state(name):
    plan = grid.read(GRIDS / f"{name}.yaml")
    assert (len(plan.trials), plan.rows) == PINNED[name]
    assert f"{len(plan.trials):,} trial" in (GRIDS / f"{name}.yaml").read_text()
