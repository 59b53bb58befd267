from hypothesis import given
from hypothesis import strategies as st

from analysis.rows import recipes
from analysis.rows.recipes import kind_as_of_first_model
from rotgrid.spec.models import MODELS, recipe_of
from rotgrid.spec.recipes import FAST, RECIPES

from made_up import OWN

WEIGHT_DECAYS = st.floats(1e-3, 1e3)


def like(name, model, **fields):
    """The settings of an own recipe for a model."""
    return recipe_of(name, model).model_copy(update=fields).model_dump_json()


@given(st.sampled_from([*RECIPES]), st.sampled_from([*MODELS, OWN]), WEIGHT_DECAYS)
def test_the_recipe_that_an_own_one_is_like_and_what_differs_are_found(name, model, weight_decay):
    found, fields = recipes.differing(like(name, model, weight_decay=weight_decay), model)
    assert fields == {"weight_decay": weight_decay}
    assert recipe_of(found, model) == recipe_of(name, model)


@given(st.sampled_from([*MODELS, OWN]), WEIGHT_DECAYS)
def test_for_the_first_model_every_model_gives_the_same_recipe(model, weight_decay):
    of_first = recipes.of_first_model(like("fast", model, weight_decay=weight_decay), model)
    assert of_first == FAST.model_copy(update={"weight_decay": weight_decay})


def test_words_say_what_it_is_like_and_what_differs():
    settings = like("fast", OWN, weight_decay=0.0005, epochs=1, milestones=(0.5, 0.75))
    said = "like fast but weight_decay 0.0005, epochs 1, milestones [0.5, 0.75]"
    assert recipes.words(settings, OWN) == said
    assert recipes.words(settings, OWN, ["epochs", "milestones"]) == (
        "like fast but weight_decay 0.0005"
    )
    assert recipes.words(like("paper", OWN), OWN) == "like paper"


def test_models_that_follow_an_own_recipe_are_trained_alike():
    """H-Net has another rate in `fast`, and so in what is like it."""
    kinds = [
        {"model": model, "recipe": "mine", "recipe_settings": like("fast", model, momentum=0.5)}
        | {
            n: getattr(recipe_of("fast", model), n)
            for n in ("epochs", "batch_size", "learning_rate")
        }
        for model in ("stdcnn", "hnet", OWN)
    ]
    first, *others = ({**kind_as_of_first_model(kind), "model": ""} for kind in kinds)
    assert all(other == first for other in others)
