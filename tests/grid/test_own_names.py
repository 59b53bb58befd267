import pytest

from rotgrid import grid
from rotgrid.grid.problems import GridError
from rotgrid.spec import extensions
from rotgrid.spec.recipes import RECIPES

from own_files import GRID, write, write_all, write_npz


def problems(text, file="own.yaml"):
    with pytest.raises(GridError) as error:
        grid.parse(text, file)
    return "\n".join(map(str, error.value.problems))


def test_a_stored_grid_gives_the_same_plan_without_the_files(folder):
    plan = grid.read(write_all(folder))
    for file in folder.rglob("*.py"):
        file.unlink()
    extensions._known.clear()
    again = grid.parse(grid.dump(plan))
    assert again.trials == plan.trials
    assert grid.dump(again) == grid.dump(plan)


def test_files_beside_the_grid_are_found_from_anywhere(folder, monkeypatch, tmp_path):
    path = write_all(folder)
    monkeypatch.chdir(tmp_path)
    assert {trial.model for trial in grid.read(path).trials} == {"stdcnn", "mynets.nets:build"}


def test_own_names_vary_like_any_other(folder):
    plan = grid.read(write_all(folder))
    assert len(plan.trials) == 4
    assert plan.rows == 12
    own = [trial for trial in plan.trials if trial.model_digest]
    assert {trial.adversary for trial in own} == {"none", "mynets.attacks:mine"}


def test_a_variant_is_handed_on_whatever_it_is(folder):
    write_all(folder)
    text = "blocks: [{model: 'mynets.nets:build', data: mnist5k, variant: [16, wide, '']}]"
    assert [t.variant for t in grid.parse(text).trials] == ["16", "wide", ""]


@pytest.mark.parametrize(
    ("name", "field", "text"),
    [
        (
            "mynets.none:build",
            "model",
            "own.yaml:1:18: blocks.0.model: mynets.none:build: no file",
        ),
        ("mynets.nets:buidl", "model", "has no buidl; it defines build"),
        ("mynets.nets:build", "adversary", "its `def` names no parameter eps"),
        ("mynets.nets:nn", "adversary", "is no `def` of its module's own file"),
        ("my nets:x", "model", "a function of your own as package.module:function"),
        ("none.npz", "data", "none.npz: no such file in"),
    ],
)
def test_names_of_nothing_are_problems_at_their_places(folder, name, field, text):
    write_all(folder)
    block = {"model": "stdcnn", field: name}
    listed = ", ".join(f"{k}: {v!r}" for k, v in block.items())
    found = problems(f"blocks: [{{{listed}}}]")
    assert text in found
    assert found.count("\n") == 0


def test_a_setting_that_an_own_attack_does_not_name_is_a_problem(folder):
    write_all(folder)
    attack = "{attack: 'mynets.attacks:mine', loss: dlr, eps: 0.1}"
    assert "probes.loss: is not read: attack is mynets.attacks:mine" in problems(
        f"blocks: [{{model: stdcnn, probes: {attack}}}]"
    )


def test_a_default_that_is_no_plain_value_is_a_problem(folder):
    text = "STEPS = 7\ndef mine(model, images, labels, *, eps, steps=STEPS): ...\n"
    write(folder, nets=text)
    found = problems("blocks: [{model: stdcnn, probes: {attack: 'nets:mine'}}]")
    assert "nets:mine: its `def` gives steps a default that is no plain value" in found
    assert grid.parse("blocks: [{model: stdcnn, adversary: 'nets:mine'}]").trials


def test_a_field_of_probes_and_a_name_of_a_recipe_say_where_they_belong():
    found = problems("defaults: {n_images: 5}\nblocks: [{model: stdcnn, eps: 0.1}]")
    assert "defaults.n_images: is a field of `probes`, in a block" in found
    assert "blocks.0.eps: is a field of `probes`, in a block" in found
    found = problems("blocks: [{model: stdcnn, recipe: 'my:recipe'}]")
    assert "or the name of one of your own, under `recipes` of the grid" in found


def test_another_file_than_is_pinned_makes_no_difference_to_the_plan(folder):
    plan = grid.read(write_all(folder))
    write(folder, mynets__blocks="changed = 1\n")
    assert grid.parse(grid.dump(plan)).trials == plan.trials
    assert grid.read(folder / "own.yaml").trials != plan.trials


@pytest.mark.parametrize("pinned", ["3", "{x: {}}", "{x: {digest: 12}}", "{x: {digest: zz}}"])
def test_what_no_launch_has_pinned_is_a_problem(pinned):
    assert "pinned" in problems(f"blocks: [{{model: stdcnn}}]\npinned: {pinned}")


def test_digests_cannot_be_given():
    found = problems("blocks: [{model: stdcnn, model_digest: '0123456789abcdef'}]")
    assert "model_digest: unknown key" in found


def test_a_function_that_is_a_network_in_one_place_is_no_attack_in_another(folder):
    write_all(folder)
    model = "model: 'mynets.nets:build'"
    for more in ("adversary: 'mynets.nets:build'", "probes: {attack: 'mynets.nets:build'}"):
        assert "its `def` names no parameter eps" in problems(f"blocks: [{{{model}, {more}}}]")


def test_own_data_give_counts_and_limits(folder):
    write_npz(folder / "mine.npz")
    (trial,) = grid.parse("blocks: [{model: hnet, data: mine.npz}]").trials
    assert trial.train_size == 60
    text = "blocks: [{model: gcnn, data: mine.npz}]"
    assert "gcnn takes images of 16 x 16 pixels or more; mine.npz has 8" in problems(text)
    text = "blocks: [{model: hnet, data: mine.npz, train_size: 61}]"
    assert "is more than the 60 of mine.npz" in problems(text)
    text = "blocks: [{model: hnet, data: mine.npz, probes: {n_images: 41}}]"
    assert "is more than the 40 test images of mine.npz" in problems(text)


def recipe_plan(recipes, more="recipe: mine", model="stdcnn"):
    return grid.parse(f"blocks: [{{model: {model}, {more}}}]\nrecipes: {recipes}")


def test_an_own_recipe_sets_what_it_gives_and_the_rest_is_that_of_the_one_it_is_like():
    (trial,) = recipe_plan(
        "{mine: {like: fast, optimizer: sgd, weight_decay: 5e-4, epochs: 3}}"
    ).trials
    expected = {"optimizer": "sgd", "weight_decay": 5e-4, "epochs": 3}
    assert trial.recipe_used() == RECIPES["fast"].model_copy(update=expected)
    assert (trial.recipe, trial.epochs) == ("mine", 3)


def test_like_is_that_recipe_as_it_is_for_the_model():
    own = recipe_plan("{mine: {like: fast, weight_decay: 0.5}}", model="hnet")
    (trial,) = own.trials
    assert trial.recipe_used().learning_rate == 1e-3


def test_an_own_recipe_that_equals_another_is_that_one():
    (trial,) = recipe_plan("{mine: {like: fast}}").trials
    (fast,) = grid.parse("blocks: [{model: stdcnn, recipe: fast}]").trials
    assert trial == fast
    both = "{mine: {like: fast, epochs: 9}, other: {like: mine}}"
    assert len(recipe_plan(both, more="recipe: [mine, other]").trials) == 1


def test_the_name_of_an_own_recipe_is_in_no_key():
    (one,) = recipe_plan("{mine: {like: fast, epochs: 9}}").trials
    (other,) = recipe_plan("{yours: {like: fast, epochs: 9}}", more="recipe: yours").trials
    assert one.key() == other.key()
    assert grid.parse(grid.dump(recipe_plan("{mine: {like: fast, epochs: 9}}"))).trials == {
        one: recipe_plan("{mine: {like: fast, epochs: 9}}").trials[one]
    }


@pytest.mark.parametrize(
    ("recipes", "text"),
    [
        ("3", "recipes: should be a mapping"),
        ("{mine: 3}", "recipes.mine: should be a mapping of settings"),
        ("{fast: {like: paper}}", "recipes.fast: is a recipe of rotgrid's"),
        ("{mine: {like: fst}}", "did you mean 'fast'?"),
        ("{mine: {like: [fast]}}", "recipes.mine.like: should be a recipe"),
        ("{mine: {like: two}, two: {like: fast}}", "should be a recipe that stands before this"),
        ("{mine: {like: fast, optimiser: sgd}}", "recipes.mine.optimiser: unknown key"),
        (
            "{mine: {like: fast, optimizer: lion}}",
            "should be 'sgd', 'adam' or 'adamw' (got 'lion')",
        ),
        ("{mine: {like: fast, learning_rate: -1}}", "recipes.mine.learning_rate: should be"),
        ("{mine: {like: fast, milestones: [0.5, 2]}}", "recipes.mine.milestones"),
        ("{mine: {like: fast, epochs: 1}, two: {epochs: 2}}", "recipes.two: is not read"),
        ("{min: {like: fast, epochs: 1}}", "is no recipe (got 'mine') - did you mean 'min'?"),
    ],
)
def test_mistakes_in_recipes_are_problems_at_their_places(recipes, text):
    assert text in problems(f"blocks: [{{model: stdcnn, recipe: mine}}]\nrecipes: {recipes}")


def test_no_recipe_is_original_for_an_own_network(folder):
    write_all(folder)
    found = problems("blocks: [{model: 'mynets.nets:build', recipe: original}]")
    assert "recipe: is not known of mynets.nets:build; choose from paper" in found


def test_the_grid_of_the_other_tests_is_one(folder):
    write_all(folder)
    assert grid.parse(GRID).name == "own"
