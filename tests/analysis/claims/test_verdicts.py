"""Planted truths: bits are drawn from known probabilities, so that every verdict is known."""

import itertools
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import analysis
from analysis.claims import evidence, records, verdicts
from analysis.rows import flags
from rotgrid.spec import Probe, Trial
from rotgrid.spec.models import MODELS
from rotgrid.spec.recipes import PAPER as PAPER_RECIPE

from made_up import DIGEST, OWN_DATA, frame, row

SEEDS = (0, 1, 2, 3, 4)
IMAGES = 2_000
HOLDS, FAILS, OPEN, UNKNOWN = "holds", "does not hold", "too close to call", "not measured"
MIXED, FLOOR, DESCRIBED = "mixed", "at the floor", "described"
TABLE1 = (("stdcnn", "table1"), ("gcnn", "table1"))
PAPERS_PAIR = (("stdcnn", "doubled"), ("gcnn", "halved"))
PAPER = {"data": "mnist", "recipe": "paper"}
EQUIVARIANT = ("gcnn", "hnet", "ptn", "roteqnet")


def planted(cells, seeds=SEEDS, between=0.004, **changes):
    """Rows of cells (trial, probe, probability): a network of each seed, a little better or worse
    than it, and its bits."""
    rows = []
    for trial, probe, probability in cells:
        for seed in seeds:
            one = Trial(**PAPER | trial | {"seed": seed})
            probe_ = Probe(
                n_images=min(probe.get("n_images", IMAGES), 1_000_000),
                **{k: v for k, v in probe.items() if k != "n_images"},
            ).resolve(one)
            draw = np.random.default_rng([int(one.key()[:8], 16), int(probe_.key()[:8], 16)])
            p = np.clip(probability + draw.normal(0, between), 0, 1)
            bits = draw.random(probe_.n_images) < p
            packed = {"n_correct": int(bits.sum()), "correct": np.packbits(bits).tobytes()}
            rows.append(row(one, probe_, **{"flags": "", **packed, **changes}))
    return frame(rows)


def verdict(name, rows):
    (claim,) = [one for one in verdicts.CLAIMS if one.id == name]
    (found,) = verdicts.judge(rows, [claim])
    return found


def clean(models, xs, accuracy, train=0.0, **trial):
    """Cells without attack: `accuracy(model, x)`; `train` None: trained on the same range."""
    return [
        (
            {"model": m, "recipe": "fast", "train_rotation": x if train is None else train}
            | trial,
            {"test_rotation": x},
            accuracy(m, x),
        )
        for m in models
        for x in xs
    ]


def attacked(pair, xs, accuracy, attack="fgsm", eps=0.3, probe=None, **trial):
    """Cells under attack, trained and tested on the same range: `accuracy(model, x)`."""
    return [
        (
            {"model": m, "variant": variant, "train_rotation": x} | trial,
            {"attack": attack, "eps": eps, "test_rotation": x, **(probe or {})},
            accuracy(m, x),
        )
        for m, variant in pair
        for x in xs
    ]


RANGES = (0.0, 30.0, 60.0, 90.0, 180.0)
SMALL = (10.0, 20.0, 40.0)


def crossing(lead, small=0.5, large=0.4):
    """GCNN leads at small ranges by `lead` and trails at large ones by as much."""

    def accuracy(model, x):
        level, ahead = (small, lead) if x <= 40 else (large, -lead)
        return level + ahead * (model == "gcnn")

    return accuracy


def rotations(edges):
    """C1: each equivariant network ahead by `edges[model]`."""
    return clean(
        ["stdcnn", *EQUIVARIANT], SMALL, lambda m, x: 0.9 + edges.get(m, 0.05) * (m != "stdcnn")
    )


def test_c1_every_equivariant_network_ahead():
    found = verdict("C1", planted(rotations({})))
    assert found.verdict == HOLDS
    assert (found.n, found.seeds, found.scope[:7]) == (IMAGES, 5, "5 seeds")
    assert found.lower < 0.05 < found.upper
    assert found.words.startswith("12 of 12 comparisons agree; weakest: ")


def test_c1_one_network_behind_refutes():
    found = verdict("C1", planted(rotations({"hnet": -0.05})))
    assert found.verdict == MIXED
    assert "strongest against: H-Net - StdCNN" in found.words
    assert found.upper < 0


def test_c1_one_network_equal_is_open():
    assert verdict("C1", planted(rotations({"hnet": 0.0}))).verdict == OPEN


def test_c1_a_missing_network_can_refute_nothing_and_is_needed():
    cells = [cell for cell in rotations({}) if cell[0]["model"] != "hnet"]
    found = verdict("C1", planted(cells))
    assert found.verdict == UNKNOWN
    assert "missing: H-Net - StdCNN at ±10°" in found.words
    cells = [cell for cell in rotations({"ptn": -0.05}) if cell[0]["model"] != "hnet"]
    assert verdict("C1", planted(cells)).verdict == MIXED
    cells = [cell for cell in cells if cell[0]["model"] in ("stdcnn", "ptn")]
    assert verdict("C1", planted(cells)).verdict == FAILS


@pytest.mark.parametrize(("level", "expected"), [(0.99, HOLDS), (0.96, MIXED), (0.9802, OPEN)])
@pytest.mark.parametrize("name", ["C2", "C4"])
def test_c2_and_c4_accuracy_above_98_percent(name, level, expected):
    train = 0.0 if name == "C2" else None
    models = {"hnet": level}
    cells = clean(EQUIVARIANT, (10.0, 20.0), lambda m, x: models.get(m, 0.99), train)
    assert verdict(name, planted(cells, between=0.001)).verdict == expected


@pytest.mark.parametrize(
    ("ptn", "gcnn", "expected"),
    [(0.70, 0.45, HOLDS), (0.55, 0.45, MIXED), (0.70, 0.75, MIXED), (0.60, 0.45, OPEN)],
)
def test_c3_most_robust_and_above_60_percent(ptn, gcnn, expected):
    levels = {"ptn": ptn, "roteqnet": 0.72, "gcnn": gcnn, "stdcnn": 0.4, "hnet": 0.45}
    cells = clean(levels, (60.0, 180.0), lambda m, x: levels[m])
    assert verdict("C3", planted(cells)).verdict == expected


def test_c3_is_about_the_entire_range_and_not_its_end_alone():
    levels = {"ptn": 0.7, "roteqnet": 0.72, "gcnn": 0.45, "stdcnn": 0.4, "hnet": 0.45}
    cells = clean(levels, (60.0, 180.0), lambda m, x: 0.8 if (m, x) == ("hnet", 60) else levels[m])
    found = verdict("C3", planted(cells))
    assert found.verdict == MIXED
    assert "H-Net at ±60°" in found.words


@pytest.mark.parametrize(("gain", "expected"), [(0.0, HOLDS), (0.02, FAILS), (0.003, OPEN)])
def test_c5_best_with_30_000_images(gain, expected):
    cells = [
        (
            {"model": m, "recipe": "fast", "train_rotation": x, "train_size": size},
            {"test_rotation": x, "n_images": 10_000},
            0.995 - gain * (size < 55_000),
        )
        for m in EQUIVARIANT
        for x in (0.0, 180.0)
        for size in (1_000, 10_000, 30_000, 55_000)
    ]
    assert verdict("C5", planted(cells, between=0.0)).verdict == expected


@pytest.mark.parametrize(
    ("capsnet", "expected"), [(0.9, HOLDS), (0.99, FAILS), (0.5, FAILS), (0.8, OPEN)]
)
@pytest.mark.parametrize(("gcnn", "hnet"), [(0.95, 0.8), (0.8, 0.95)])
def test_c13_between_whichever_is_above(capsnet, gcnn, hnet, expected):
    levels = {"capsnet": capsnet, "gcnn": gcnn, "hnet": hnet}
    assert (
        verdict("C13a", planted(clean(levels, SMALL, lambda m, x: levels[m]))).verdict == expected
    )


def test_c13b_is_about_narrow_capsules():
    levels = {"capsnet": 0.9, "gcnn": 0.95, "hnet": 0.8}
    cells = clean(levels, SMALL, lambda m, x: levels[m])
    for trial, *_ in cells:
        trial["variant"] = {"capsnet": "narrow", "gcnn": "table1", "hnet": "fixed"}[trial["model"]]
    rows = planted(cells)
    assert (verdict("C13a", rows).verdict, verdict("C13b", rows).verdict) == (UNKNOWN, HOLDS)


@pytest.mark.parametrize(("lead", "expected"), [(0.1, HOLDS), (-0.1, FAILS), (0.0, OPEN)])
@pytest.mark.parametrize(
    ("name", "pair", "attack"),
    [
        ("C6a", TABLE1, "fgsm"),
        ("C6b", PAPERS_PAIR, "fgsm"),
        ("C10a", TABLE1, "pgd"),
        ("C10b", PAPERS_PAIR, "pgd"),
    ],
)
def test_c6_and_c10_the_crossover(name, pair, attack, lead, expected):
    found = verdict(name, planted(attacked(pair, RANGES, crossing(lead), attack)))
    assert found.verdict == expected
    assert found.lower < lead < found.upper or found.lower < -lead < found.upper


def test_c6_ahead_everywhere_is_no_crossover():
    always = attacked(TABLE1, RANGES, lambda m, x: 0.5 + 0.1 * (m == "gcnn"))
    found = verdict("C6a", planted(always))
    assert found.verdict == MIXED
    assert "mean over ranges from ±90°" in found.words


@pytest.mark.parametrize(
    "cells",
    [
        attacked(TABLE1, (0.0, 30.0), crossing(0.1)),
        attacked(TABLE1[:1], RANGES, crossing(0.1)),
        attacked(TABLE1, RANGES, crossing(0.1), eps=0.2),
        attacked(TABLE1, RANGES, crossing(0.1), "pgd"),
        attacked(TABLE1, RANGES, crossing(0.1), adversary="fgsm"),
        attacked(PAPERS_PAIR, RANGES, crossing(0.1)),
    ],
    ids=["no large range", "one model", "other eps", "other attack", "adversary", "other pair"],
)
def test_what_the_sentence_is_not_about_decides_nothing(cells):
    found = verdict("C6a", planted(cells))
    assert found.verdict == UNKNOWN
    assert found.p is None
    assert "needs" in found.words


@pytest.mark.parametrize("seeds", [(3,), (3, 4)])
def test_fewer_than_three_seeds_are_described(seeds):
    found = verdict("C6a", planted(attacked(TABLE1, RANGES, crossing(0.1)), seeds=seeds))
    assert (found.verdict, found.p, found.seeds) == (DESCRIBED, None, len(seeds))
    assert (found.agree, found.comparisons) == (2, 2)
    assert found.lower < 0.1 < found.upper or found.lower < -0.1 < found.upper
    assert "these networks only" in found.scope


@pytest.mark.parametrize("effect", [0.0, 0.3])
def test_two_seeds_decide_nothing(effect):
    cells = rotations({"hnet": -effect}) + attacked(TABLE1, RANGES, crossing(effect))
    for attack in ("pgd", "strong"):
        cells += attacked(TABLE1, RANGES, falling(effect), attack, 0.1)
    found = verdicts.judge(planted(cells, seeds=(0, 1), between=0.0))
    assert {one.verdict for one in found} == {DESCRIBED, UNKNOWN}
    assert {one.p for one in found} == {None}


def test_seeds_that_differ_much_leave_a_claim_open():
    cells = attacked(TABLE1, RANGES, crossing(0.02))
    assert verdict("C6a", planted(cells, between=0.08)).verdict == OPEN


@pytest.mark.parametrize("name", ["C9", "C10a"])
def test_where_nothing_is_left_there_is_nothing_to_compare(name):
    """Both at 0 over large ranges."""
    cells = attacked(TABLE1, RANGES, lambda m, x: 0.4 + 0.1 * (m == "gcnn"))
    cells += attacked(
        TABLE1, RANGES, lambda m, x: 0.0 if x > 40 else 0.3 + 0.1 * (m == "gcnn"), "pgd"
    )
    gone = [(t, p, 0.0 if t["train_rotation"] > 40 else a) for t, p, a in cells]
    found = verdict(name, planted(gone, between=0.0))
    assert (found.verdict, found.p) == (FLOOR, None)
    assert "nothing is left to compare" in found.words


@pytest.mark.parametrize(("name", "attack"), [("B1", "pgd"), ("B2", "strong"), ("B4", "pgd")])
@pytest.mark.parametrize("end", [0.0, 180.0])
def test_where_nothing_is_left_at_one_end_a_change_says_only_who_had_more_to_lose(
    name, attack, end
):
    """And that refutes nothing, however clear it is."""

    def falling_to(left):
        return lambda model, x: left if x == end else 0.2 - 0.15 * (model == "gcnn")

    for left, expected in ((0.002, FLOOR), (0.03, FAILS if end else HOLDS)):
        cells = attacked(TABLE1, (0.0, 180.0), falling_to(left), attack, 0.1)
        cells += [(t, p | {"attack": "none", "eps": 0.0}, 0.99) for t, p, _ in cells]
        assert verdict(name, planted(cells)).verdict == expected


def test_at_the_floor_what_is_left_can_still_refute():
    cells = attacked(TABLE1, RANGES, lambda m, x: 0.0 if x > 40 else 0.4 - 0.1 * (m == "gcnn"))
    assert verdict("C6a", planted(cells, between=0.0)).verdict == FAILS


def test_a_missing_seed_leaves_those_in_common():
    rows = planted(attacked(TABLE1, RANGES, crossing(0.1)))
    lost = (pl.col("model") == "gcnn") & (pl.col("seed") == 2) & (pl.col("train_rotation") == 0)
    found = verdict("C6a", rows.filter(~lost))
    assert found.verdict == HOLDS
    assert {found.seeds, *re.findall(r"\d(?= seeds)", found.scope)} > {"4", "5"}


def test_scope_names_the_seeds_of_the_part_that_decides():
    rows = planted(attacked(TABLE1, RANGES, crossing(-0.1)))
    rows = rows.filter((pl.col("train_rotation") > 40) | (pl.col("seed") == 0))
    refuted = verdict("C6a", rows)
    assert (refuted.verdict, refuted.seeds) == (FAILS, 5)
    assert refuted.scope.startswith("5 seeds; other comparisons: 1 seed; ")
    rows = planted(attacked(TABLE1, RANGES, crossing(0.1)))
    rows = rows.filter((pl.col("train_rotation") > 40) | (pl.col("seed") == 0))
    described = verdict("C6a", rows)
    assert (described.verdict, described.seeds) == (DESCRIBED, 1)
    assert described.scope.startswith("one seed: these networks only")


@pytest.mark.parametrize("name", ["C6a", "B4"])
def test_networks_with_other_numbers_of_images_are_mixed(name):
    cells = attacked(TABLE1, RANGES, crossing(0.1), eps=0.3 if name == "C6a" else 0.1)
    if name == "B4":
        cells = [(t, p | {"attack": "pgd"}, a) for t, p, a in cells]
        cells += [(t, {"test_rotation": p["test_rotation"]}, 0.9) for t, p, _ in cells]
    rows = planted(cells)
    fewer = planted([(t, p | {"n_images": 500}, a) for t, p, a in cells])
    first = pl.col("seed") == 0 if name == "C6a" else pl.col("model") == "gcnn"
    rows = pl.concat([rows.filter(~first), fewer.filter(first)])
    found = verdict(name, rows)
    assert found.verdict == UNKNOWN
    assert "different numbers of images" in found.words


def test_an_error_of_a_claim_is_not_taken_for_a_lack_of_rows():
    def broken(rows):
        raise ValueError("of its own")

    (claim,) = [one for one in verdicts.CLAIMS if one.id == "C1"]
    with pytest.raises(ValueError, match="of its own"):
        verdicts.judge(planted(rotations({})), [claim._replace(measure=broken)])


def test_flagged_networks_decide_nothing():
    cells = attacked(TABLE1, RANGES, crossing(0.1))
    found = verdict("C6a", planted(cells, flags="zero-gradient"))
    assert found.verdict == UNKNOWN
    rows = planted(cells)
    masked = (pl.col("model") == "gcnn") & (pl.col("seed") == 0)
    rows = rows.with_columns(flags=pl.when(masked).then(pl.lit("repeat")).otherwise("flags"))
    found = verdict("C6a", rows)
    assert (found.verdict, found.seeds) == (HOLDS, 4)
    assert found.scope.endswith("left out: 5 networks that fail repeat")


def test_a_check_that_finds_pgd_too_weak_costs_the_verdict_under_pgd_alone():
    cells = [
        cell
        for attack in ("pgd", "fmn-pgd", "strong")
        for cell in attacked(TABLE1, RANGES, crossing(0.1), attack)
    ]
    rows = planted(cells).drop("flags", "cautions")
    failing = pl.DataFrame(
        [(trial, "twice-the-restarts", 0.025, 0.01) for trial in rows["trial"].unique()],
        schema=flags.FAILED,
        orient="row",
    )
    rows = rows.hstack(flags.against_rows(rows, failing, failing))
    (claim,) = [one for one in verdicts.CLAIMS if one.id == "C10a"]
    found = {one.tier: one.verdict for one in verdicts.judge(rows, [claim])}
    assert found == {"fmn-pgd": HOLDS, "strong": HOLDS}
    masked = failing.with_columns(check=pl.lit("square-not-gradients"))
    bare = rows.drop("flags", "cautions")
    noticed = bare.with_columns(square_only=pl.when(attack="strong").then(2))
    alone = bare.hstack(flags.against_rows(bare, masked, masked))
    kept = bare.hstack(flags.against_rows(noticed, masked, masked))
    assert verdicts.judge(alone, [claim])[0].verdict == UNKNOWN
    (only,) = verdicts.judge(kept, [claim])
    assert (only.tier, only.verdict) == ("strong", HOLDS)
    words = "kept with caution, under strong: 50 networks that fail square-not-gradients"
    assert words in only.scope


def test_rows_without_bits_decide_nothing():
    unknown = pl.lit(None, pl.Binary).alias("correct")
    both = attacked(TABLE1, RANGES, crossing(0.1), "pgd", 0.1)
    for name, cells in (("C1", rotations({})), ("B1", both)):
        found = verdict(name, planted(cells).with_columns(unknown))
        assert (found.verdict, found.p) == (UNKNOWN, None)
    rows = [r for x in (0.0, 180.0) for r in conditional(0, x, falling(0.1))]
    assert verdict("B4", frame(rows).with_columns(unknown)).verdict == UNKNOWN


def test_rows_with_bits_decide_whatever_lies_beside_them():
    """As in results of which the outcomes of images are known in part."""
    rows = planted(attacked(TABLE1, RANGES, crossing(0.1)))
    alone = verdict("C6a", rows)
    bare = planted(attacked(TABLE1, (*RANGES, 15.0), crossing(-0.1), learning_rate=0.5))
    bare = bare.with_columns(correct=pl.lit(None, pl.Binary))
    assert alone.verdict == HOLDS
    assert verdict("C6a", pl.concat([rows, bare])) == alone


def test_claims_on_counts_need_no_bits():
    models = ("stdcnn", "gcnn", "hnet", "ptn", "roteqnet", "tipooling", "cyclic", "dren")
    turn, pgd = {"attack": "equivariance", "test_rotation": 30.0}, {"attack": "pgd", "eps": 0.1}
    cells = []
    for place, model in enumerate(models):
        trial = {"model": model, "recipe": "fast"}
        cells += [(trial, turn, 0.5 + 0.05 * place), (trial, pgd, 0.5 - 0.05 * place)]
    rows = planted(cells)
    bare = rows.with_columns(correct=pl.lit(None, pl.Binary))
    assert verdict("B11", bare) == verdict("B11", rows)
    assert verdict("B11", bare).verdict == HOLDS
    assert {one.id for one in verdicts.judge(bare) if one.verdict != UNKNOWN} == {"B11"}


def test_flags_are_about_attacks():
    flagged = planted(rotations({}), flags="zero-gradient")
    assert verdict("C1", flagged).verdict == HOLDS


def test_networks_that_were_never_checked_are_named():
    rows = planted(attacked(TABLE1, RANGES, crossing(0.1)), flags=None)
    assert "not all networks checked for masked gradients" in verdict("C6a", rows).scope


def test_embedded_digits_and_few_images_are_named():
    small = planted(
        attacked(TABLE1, RANGES, crossing(0.1), data="mnist5k", probe={"n_images": 1_000})
    )
    assert "quickstart data: no verdict on MNIST" in verdict("C6a", small).scope
    few = planted(attacked(TABLE1, RANGES, crossing(0.1), probe={"n_images": 300}))
    assert "few images (300 each)" in verdict("C6a", few).scope
    assert (
        "quickstart" not in verdict("C6a", planted(attacked(TABLE1, RANGES, crossing(0.1)))).scope
    )


def test_a_pair_that_was_attacked_in_different_ways_is_not_compared():
    cells = attacked(TABLE1[:1], RANGES, crossing(0.1), "pgd", probe={"steps": 20})
    cells += attacked(TABLE1[1:], RANGES, crossing(0.1), "pgd", probe={"steps": 40})
    found = verdict("C10a", planted(cells))
    assert (found.verdict, found.p) == (UNKNOWN, None)


def judged(rows, name):
    (claim,) = [one for one in verdicts.CLAIMS if one.id == name]
    return verdicts.judge(rows, [claim])


def test_every_recipe_is_judged_by_itself_and_where_they_disagree_it_is_said():
    """However many rows each has."""
    usual = planted(attacked(TABLE1, RANGES[::2], crossing(0.1)))
    other = planted(attacked(TABLE1, RANGES, crossing(-0.1), recipe="fast"))
    short = planted(attacked(TABLE1, RANGES, crossing(-0.1), recipe="fast", epochs=1), (0, 1))
    alone = [one for rows in (usual, other, short) for one in judged(rows, "C6a")]
    together = judged(pl.concat([short, other, usual]), "C6a")
    assert together == alone
    said = [(one.recipe, one.verdict) for one in together]
    assert said == [("paper", HOLDS), ("fast", FAILS), ("fast, 1 epochs", DESCRIBED)]
    assert records.disagreement(together) == (
        "Recipes or attacks disagree on C6a (for: recipe paper under fgsm; against: recipe fast "
        "under fgsm, recipe fast, 1 epochs under fgsm, described by 2 seeds)."
    )
    assert records.disagreement(together[1:]) == ""


def test_the_papers_sentences_are_about_its_data_and_others_about_each():
    """C10a and B1 of the same rows, on MNIST and on data of the user's own."""
    own = {"data": OWN_DATA, "data_digest": DIGEST.format(1)}

    def cells(**trial):
        probe = {"n_images": 300}
        return [
            cell
            for eps in (0.1, 0.3)
            for cell in attacked(TABLE1, RANGES, crossing(0.2), "pgd", eps, probe, **trial)
        ]

    outcomes = verdicts.judge(planted(cells() + cells(**own)))
    found = {
        name: [one.recipe for one in outcomes if one.id == name and one.verdict != UNKNOWN]
        for name in ("C10a", "B1")
    }
    assert found == {"C10a": ["paper"], "B1": ["paper", "paper, mine.npz"]}
    (alone,) = judged(planted(cells(**own)), "C10a")
    assert alone.verdict == UNKNOWN


def test_an_own_recipe_is_named_with_what_it_is_like():
    settings = PAPER_RECIPE.model_copy(update={"weight_decay": 0.1, "epochs": 3}).model_dump_json()
    mine = {"recipe": "mine", "recipe_settings": settings}
    cells = attacked(TABLE1, RANGES, crossing(0.2), "pgd", **mine)
    (found,) = judged(planted(cells), "C10a")
    assert found.recipe == "mine (like paper but weight_decay 0.1, epochs 3)"
    (found,) = judged(planted([(t | {"epochs": 6}, *rest) for t, *rest in cells]), "C10a")
    assert found.recipe.endswith("epochs 3), 6 epochs")


def test_a_setting_that_lacks_a_model_says_nothing():
    lonely = attacked(TABLE1[:1], RANGES, crossing(0.1), recipe="fast")
    both = attacked(TABLE1, (0.0, 180.0), crossing(0.1))
    assert [one.recipe for one in judged(planted(lonely + both), "C6a")] == ["paper"]


def test_stronger_attacks_and_unusual_ways_are_judged_beside_the_papers():
    cells = attacked(TABLE1, RANGES, crossing(0.1), "pgd")
    cells += attacked(TABLE1, RANGES, crossing(-0.1), "strong")
    cells += attacked(TABLE1, RANGES, crossing(0.0), "pgd", probe={"steps": 20})
    said = [(one.tier, one.verdict) for one in judged(planted(cells), "C10a")]
    assert said == [("pgd", HOLDS), ("pgd (20 steps)", OPEN), ("strong", FAILS)]


def test_other_units_interpolations_shifts_and_conventions_are_other_sentences():
    rows = planted(attacked(TABLE1, RANGES, crossing(0.1)))
    others = [
        planted(attacked(TABLE1, RANGES, crossing(-0.1), probe=probe, **trial))
        for probe, trial in (
            ({"eps_unit": "normalised"}, {}),
            ({}, {"interpolation": "nearest"}),
            ({"test_translation": 4.0}, {}),
            ({"clip": "none"}, {}),
            ({"threat": "l2"}, {}),
            ({"mode": "train"}, {}),
        )
    ]
    assert judged(pl.concat([*others, rows]), "C6a") == judged(rows, "C6a")


def test_networks_whose_authors_used_the_papers_recipe_belong_to_both():
    cells = clean(["stdcnn", "gcnn"], SMALL, lambda m, x: 0.9 + 0.05 * (m != "stdcnn"))
    cells += clean(["hnet"], SMALL, lambda m, x: 0.95, recipe="original")
    for trial, *_ in cells[:6]:
        trial["recipe"] = "original"  # stored as `paper`
    said = {one.recipe: one.comparisons for one in judged(planted(cells), "C1")}
    assert said == {"paper": 3, "original": 6}


def by_setting(*places):
    rows = analysis.load(*(Path(__file__).parents[3] / "docs" / place for place in places))
    return {(one.id, one.recipe, one.tier): one for one in verdicts.judge(rows) if one.recipe}


def test_the_rows_of_docs_say_the_same_of_each_setting_however_they_are_joined():
    """What is described for want of seeds may get a verdict where another place has more of them;
    no verdict changes."""
    places = ["architectures", "baseline", "recipes"]
    alone = {place: by_setting(place) for place in places}
    for some in [*itertools.combinations(places, 2), places]:
        joined = by_setting(*some)
        assert joined.keys() == set().union(*(alone[place].keys() for place in some))
        for setting, one in joined.items():
            for before in (alone[place][setting] for place in some if setting in alone[place]):
                more = before.verdict == DESCRIBED and one.seeds > before.seeds
                assert one.verdict == before.verdict or more


@pytest.mark.parametrize(
    ("name", "pair", "attack", "lead", "expected"),
    [
        ("C7a", TABLE1, "none", 0.05, HOLDS),
        ("C7a", TABLE1, "none", -0.05, FAILS),
        ("C7a", TABLE1, "none", 0.0, OPEN),
        ("C7b", PAPERS_PAIR, "none", 0.0, HOLDS),
        ("C7b", PAPERS_PAIR, "none", 0.05, FAILS),
        ("C7b", PAPERS_PAIR, "none", -0.05, HOLDS),
        ("C7b", PAPERS_PAIR, "none", 0.02, OPEN),
        ("C8a", TABLE1, "fgsm", 0.05, HOLDS),
        ("C8a", TABLE1, "fgsm", -0.05, FAILS),
        ("C8b", PAPERS_PAIR, "fgsm", 0.0, HOLDS),
        ("C8b", PAPERS_PAIR, "fgsm", 0.06, FAILS),
    ],
)
def test_c7_and_c8_after_training_with_fgsm(name, pair, attack, lead, expected):
    cells = attacked(
        pair,
        (0.0, 60.0, 180.0),
        lambda m, x: 0.93 + lead * (m == "gcnn"),
        attack,
        0.3,
        {"n_images": 10_000},
        adversary="fgsm",
    )
    assert verdict(name, planted(cells, between=0.001)).verdict == expected


@pytest.mark.parametrize(("pgd", "expected"), [(0.1, HOLDS), (0.3, FAILS), (0.2, OPEN)])
def test_c9_pgd_is_stronger(pgd, expected):
    cells = attacked(TABLE1, (0.0, 60.0), lambda m, x: 0.2)
    # Fewer images, as PGD costs more.
    cells += attacked(TABLE1, (0.0, 60.0), lambda m, x: pgd, "pgd", probe={"n_images": 1_000})
    assert verdict("C9", planted(cells)).verdict == expected


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(0.42, 0.58, HOLDS), (0.42, 0.42, MIXED), (0.1, 0.6, MIXED), (0.50, 0.62, OPEN)],
)
def test_c11_roteqnet_rises_from_40_to_60_percent(start, end, expected):
    cells = attacked(
        (("roteqnet", "exact"),), (0.0, 60.0, 180.0), lambda m, x: start + (end - start) * x / 180
    )
    found = verdict("C11", planted(cells))
    assert found.verdict == expected
    assert ("Page's test that it rises p < 0.001 (5 seeds)" in found.words) == (end > start)


@pytest.mark.parametrize(
    ("gcnn", "stdcnn", "expected"),
    [(-0.3, -0.1, HOLDS), (-0.3, -0.5, MIXED), (0.2, 0.1, FAILS), (-0.2, -0.2, OPEN)],
)
def test_c12_accuracy_falls_with_range(gcnn, stdcnn, expected):
    slopes = {"gcnn": gcnn, "stdcnn": stdcnn}
    cells = []
    for attack in ("fgsm", "pgd"):
        cells += attacked(TABLE1, RANGES, lambda m, x: 0.6 + slopes[m] * x / 180, attack, eps=0.1)
    found = verdict("C12", planted(cells))
    assert found.verdict == expected
    falls = "p < 0.001" if gcnn < 0 else "p 1.000"
    assert found.words.count(f"Page's test that it falls {falls} (5 seeds)") == 2
    sign = "-" if gcnn < 0 else "+"
    assert found.words.count(f"rank correlation with the range {sign}") == 2


@pytest.mark.parametrize(
    ("pgd", "strong", "expected"),
    [(0.1, 0.08, HOLDS), (-0.1, -0.1, HOLDS), (0.1, -0.1, FAILS), (0.1, 0.0, OPEN)],
)
def test_b7_the_order_under_strong_attacks(pgd, strong, expected):
    cells = attacked(TABLE1, RANGES, crossing(pgd), "pgd", 0.1)
    cells += attacked(TABLE1, RANGES, crossing(strong), "strong", 0.1, {"n_images": 1_000})
    assert verdict("B7", planted(cells)).verdict == expected
    assert verdict("B7", planted(cells[: len(cells) // 2])).verdict == UNKNOWN


def falling(extra):
    """Both lose with range, GCNN more by `extra`."""
    return lambda m, x: 0.7 - (0.2 + extra * (m == "gcnn")) * x / 180


@pytest.mark.parametrize(("extra", "expected"), [(0.2, HOLDS), (-0.2, FAILS), (0.0, OPEN)])
@pytest.mark.parametrize(
    ("name", "attack", "trial"),
    [("B1", "pgd", {}), ("B2", "strong", {}), ("B5", "pgd", {"interpolation": "nearest"})],
)
def test_difference_in_differences(name, attack, trial, extra, expected):
    rows = planted(attacked(TABLE1, RANGES, falling(extra), attack, 0.1, **trial))
    found = verdict(name, rows)
    assert found.verdict == expected
    assert found.lower < -extra < found.upper


@pytest.mark.parametrize(
    ("extras", "expected"),
    [((0.2, 0.2), HOLDS), ((0.2, -0.2), MIXED), ((0.2, 0.0), OPEN), ((0.2,), UNKNOWN)],
)
def test_b3_both_matched_pairs_count(extras, expected):
    matched = (
        (("stdcnn", "table1"), ("gcnn", "matched-table1")),
        (("stdcnn", "matched-table1"), ("gcnn", "table1")),
    )
    cells = []
    for pair, extra in zip(matched, extras, strict=False):
        cells += attacked(pair, RANGES, falling(extra), "pgd", 0.1)
    assert verdict("B3", planted(cells)).verdict == expected


def conditional(seed, x, robust, models=("gcnn", "stdcnn")):
    """Bits with and without attack: an image that is wrong without is wrong with."""
    rows = []
    for model in models:
        one = Trial(**PAPER, model=model, train_rotation=x, seed=seed)
        draw = np.random.default_rng([seed, int(x), len(model)])
        right = draw.random(IMAGES) < (0.95 if model == "gcnn" else 0.80)
        still = right & (draw.random(IMAGES) < robust(model, x))
        for bits, attack in ((right, {}), (still, {"attack": "pgd", "eps": 0.1})):
            packed = {"n_correct": int(bits.sum()), "correct": np.packbits(bits).tobytes()}
            probe = Probe(test_rotation=x, n_images=IMAGES, **attack)
            rows.append(row(one, probe, flags="", **packed))
    return rows


@pytest.mark.parametrize(("extra", "expected"), [(0.2, HOLDS), (-0.2, FAILS), (0.0, OPEN)])
def test_b4_counts_only_images_that_both_get_right(extra, expected):
    rows = [r for s in SEEDS for x in (0.0, 180.0) for r in conditional(s, x, falling(extra))]
    found = verdict("B4", frame(rows))
    assert found.verdict == expected
    assert found.lower < -extra < found.upper
    fewer = [r | {"n_images": 500} if r["attack"] == "none" else r for r in rows]
    assert verdict("B4", frame(fewer)).verdict == UNKNOWN


@pytest.mark.parametrize(("loss", "expected"), [(0.1, HOLDS), (-0.1, FAILS), (0.0, OPEN)])
def test_b6_on_upright_digits(loss, expected):
    cells = [
        (
            {"model": "gcnn", "train_rotation": x},
            {"attack": "pgd", "eps": 0.1, "test_rotation": 0.0},
            0.5 - loss * (x > 0),
        )
        for x in (0.0, 180.0)
    ]
    assert verdict("B6", planted(cells)).verdict == expected


def test_b6_says_which_networks_were_not_tested_on_upright_digits():
    under = {"attack": "pgd", "eps": 0.1}
    cells = [
        ({"model": "gcnn", "train_rotation": x}, {**under, "test_rotation": x}, 0.5)
        for x in (0.0, 180.0)
    ]
    words = verdict("B6", planted(cells)).words
    assert "test_rotation 0" in words
    assert words.endswith("(measured so: 0).")


def test_rows_that_are_mixed_leave_a_claim_unmeasured():
    rows = planted(rotations({}))
    found = verdict("C1", pl.concat([rows, rows]))
    assert (found.verdict, found.words) == (UNKNOWN, "rows differ in more than the seed.")


@pytest.mark.parametrize(("edge", "expected"), [(0.1, HOLDS), (-0.1, FAILS), (0.0, OPEN)])
def test_c14_augmentation_helps(edge, expected):
    xs = (60.0, 180.0)
    cells = clean(EQUIVARIANT, xs, lambda m, x: 0.8)
    cells += clean(EQUIVARIANT, xs, lambda m, x: 0.8 + edge, None)
    assert verdict("C14", planted(cells)).verdict == expected


@pytest.mark.parametrize(("extra", "expected"), [(0.2, HOLDS), (-0.2, FAILS), (0.0, OPEN)])
@pytest.mark.parametrize(("name", "model"), [("C15", "hnet"), ("C16", "ptn"), ("C17", "roteqnet")])
def test_c15_to_c17_the_abstract_on_other_networks(name, model, extra, expected):
    kinds = (("stdcnn", "table1"), (model, MODELS[model].default))
    cells = []
    for attack in ("fgsm", "pgd"):
        cells += attacked(
            kinds,
            (0.0, 180.0),
            lambda m, x: 0.7 - (0.2 + extra * (m == model)) * x / 180,
            attack,
            0.1,
        )
    found = verdict(name, planted(cells))
    assert (found.verdict, found.tier) == (expected, "fgsm and pgd")


def test_from_0_to_180_degrees_is_not_to_90():
    rows = planted(attacked(TABLE1, (0.0, 60.0, 90.0), falling(0.2), "pgd", 0.1))
    assert verdict("B1", rows).verdict == UNKNOWN


def far_away(nearer, seeds):
    rows = []
    for (model, _), x, seed in itertools.product(TABLE1, (0.0, 180.0), seeds):
        one = Trial(**PAPER, model=model, train_rotation=x, seed=seed)
        draw = np.random.default_rng([seed, int(x), len(model)])
        far = np.abs(draw.normal(0.1 - nearer * (x > 0), 0.03, IMAGES))
        far[:3] = np.inf  # nothing was found
        for eps in (0.1, 0.3):
            probe = Probe(attack="fmn", eps=eps, test_rotation=0.0, n_images=IMAGES)
            rows.append(row(one, probe, flags="", distances=far.tolist()))
    return frame(rows)


@pytest.mark.parametrize(("nearer", "expected"), [(0.02, HOLDS), (-0.02, FAILS), (0.0, OPEN)])
def test_b8_distances_to_the_boundary(nearer, expected):
    assert verdict("B8", far_away(nearer, SEEDS)).verdict == expected


def test_distances_and_ratios_of_one_seed_are_not_taken_for_bits():
    found = verdict("B8", far_away(0.02, [0]))
    assert found.verdict == DESCRIBED
    assert found.lower < -0.02 < found.upper
    assert found.upper - found.lower < 0.01
    ratio = verdict(
        "B4", frame([r for x in (0.0, 180.0) for r in conditional(0, x, falling(0.2))])
    )
    assert ratio.verdict == DESCRIBED
    assert ratio.lower < -0.2 < ratio.upper
    assert ratio.upper - ratio.lower < 0.2


@pytest.mark.parametrize(("loss", "expected"), [(0.1, HOLDS), (-0.1, FAILS), (0.0, OPEN)])
def test_b9_adversarial_training_costs_accuracy_on_turned_digits(loss, expected):
    cells = []
    for adversary in ("none", "pgd"):
        cells += clean(
            ("gcnn", "stdcnn"),
            (180.0,),
            lambda m, x, lost=loss * (adversary == "pgd"): 0.45 - lost,
            adversary=adversary,
        )
    assert verdict("B9", planted(cells)).verdict == expected


@pytest.mark.parametrize(("lead", "expected"), [(0.1, HOLDS), (-0.1, FAILS)])
@pytest.mark.parametrize(("name", "attack"), [("B12", "fgsm"), ("B13", "pgd")])
def test_the_crossover_in_normalised_units(name, attack, lead, expected):
    pixel = attacked(TABLE1, (*RANGES, 15.0), crossing(0.1), attack)
    cells = attacked(TABLE1, RANGES, crossing(lead), attack, probe={"eps_unit": "normalised"})
    found = verdict(name, planted(pixel + cells))
    assert found.verdict == expected
    assert "eps in normalised units" in found.scope
    assert verdict(name, planted(pixel)).verdict == UNKNOWN


@pytest.mark.parametrize(("lead", "expected"), [(0.1, HOLDS), (-0.1, FAILS), (0.0, OPEN)])
def test_b10_the_worst_turn(lead, expected):
    cells = [
        (
            {"model": m},
            {"attack": "rotation-grid", "test_rotation": 30.0},
            0.7 + lead * (m == "gcnn"),
        )
        for m, _ in TABLE1
    ]
    assert verdict("B10", planted(cells)).verdict == expected


@pytest.mark.parametrize(("sign", "expected"), [(-1, HOLDS), (1, FAILS), (0, OPEN)])
def test_b11_invariance_over_architectures(sign, expected):
    models = ("stdcnn", "gcnn", "hnet", "ptn", "roteqnet", "tipooling", "cyclic", "dren")
    cells = []
    for place, model in enumerate(models):
        trial = {"model": model, "recipe": "fast"}
        robust = 0.5 + sign * 0.05 * place if sign else 0.5 + 0.05 * (-1) ** place
        cells.append(
            (trial, {"attack": "equivariance", "test_rotation": 30.0}, 0.5 + 0.05 * place)
        )
        cells.append((trial, {"attack": "pgd", "eps": 0.1, "test_rotation": 0.0}, robust))
    found = verdict("B11", planted(cells))
    assert (found.verdict, found.n, found.seeds) == (expected, IMAGES, 5)
    assert verdict("B11", planted(cells[:10])).verdict == UNKNOWN


def test_nothing_measured_is_said_of_every_claim_in_order():
    found = verdicts.judge(frame([]))
    assert [one.id for one in found] == [one.id for one in verdicts.CLAIMS]
    assert len({one.id for one in found}) == len(found)
    assert {one.verdict for one in found} == {UNKNOWN}
    assert all(one.words and one.refuted_by and one.sentence for one in found)


def test_p_is_adjusted_within_each_family():
    rows = planted(attacked(TABLE1, RANGES, crossing(0.1)))
    pgd = planted(attacked(TABLE1, RANGES, crossing(0.0), "pgd"))
    alone, together = (
        {one.id: one for one in verdicts.judge(of)} for of in (rows, pl.concat([rows, pgd]))
    )
    tested = [one for one in together.values() if one.p is not None]
    assert {one.id for one in tested} == {"C6a", "C9", "C10a"}
    family = sum(one.family == "pixels" for one in verdicts.CLAIMS)
    assert together["C6a"].p == alone["C6a"].p  # whatever else was measured
    (single,) = judged(rows, "C6a")
    assert alone["C6a"].p == pytest.approx(family * single.p)
    assert together["C6a"].estimate == alone["C6a"].estimate


def test_words_explain_an_interval_that_excludes_0_and_decides_nothing():
    rows = planted(attacked(TABLE1, (0.0,), crossing(0.1)))
    part = evidence.Part("A - B", 0.02, 0.001, 0.039, 0.02, 0.98, 1_000, 3)
    open_claim = verdicts.Claim(
        "X",
        "1",
        "rotations",
        "s",
        "r",
        lambda given: evidence.Evidence([part], [], given),
        [["fgsm"]],
    )
    (found,) = verdicts.judge(rows, [open_claim])
    assert (found.verdict, found.p) == (HOLDS, pytest.approx(0.04))
    found = verdicts.judge(rows, [open_claim, open_claim])[0]
    assert (found.verdict, found.p) == (OPEN, pytest.approx(0.08))
    assert found.words == (
        "A - B: +2.00 points [+0.10, +3.90]; clear on its own, but not among all the comparisons "
        "of its family."
    )


def test_claims_are_readable_alone():
    for one in verdicts.CLAIMS:
        assert not one.sentence.startswith("So it does")
        assert one.sentence.endswith((".", '."'))


def test_every_claim_of_the_paper_quotes_it():
    paper = [one for one in verdicts.CLAIMS if one.figure != evidence.BEYOND]
    assert {one.id.rstrip("ab") for one in paper} == {f"C{number}" for number in range(1, 18)}
    assert all('"' in one.sentence for one in paper)


def test_modules_of_claims_do_not_lean_on_each_other():
    names = {"rotations", "pixels", "widening", "beyond"}
    for module in (Path(verdicts.__file__).with_name(f"{name}.py") for name in names):
        lines = [line for line in module.read_text().splitlines() if "import" in line]
        others = names - {module.stem} | {"verdicts"}
        assert not any(re.search(rf"\b({'|'.join(others)})\b", line) for line in lines)
