import numpy as np
import polars as pl
import pytest

from analysis.question.leaderboard import leaderboard, ranks
from rotgrid.spec import Probe, Trial

from made_up import frame, learned, row, study, table_of, trials_of

PGD = Probe(attack="pgd", eps=0.1)
BOTH = Probe(), PGD


def of_shares(shares, seeds=range(3), n=400, probes=BOTH, data="mnist5k"):
    """Networks of these accuracies on the same images, of one difficulty each."""
    rng = np.random.default_rng(0)
    rows = []
    for model, share in shares.items():
        for seed in seeds:
            trial = Trial(model=model, data=data, seed=seed)
            bits = rng.random(n) < share
            packed = {"n": n, "n_correct": int(bits.sum())}
            packed["correct"] = np.packbits(bits).tobytes()
            rows += [row(trial, probe, **packed) for probe in probes]
    return frame(rows)


def by_model(rows):
    table = leaderboard(rows).table
    return dict(table.select(pl.col("model").str.split(" ").list.first(), "rank").iter_rows())


def test_networks_that_cannot_be_told_apart_share_a_rank():
    shares = {"stdcnn": 0.9, "gcnn": 0.9, "hnet": 0.5, "ptn": 0.5, "roteqnet": 0.1}
    assert by_model(of_shares(shares)) == {
        "stdcnn": 1,
        "gcnn": 1,
        "hnet": 3,
        "ptn": 3,
        "roteqnet": 5,
    }


@pytest.mark.parametrize(("count", "between"), [(1, 0.0), (2, 0.0), (3, 1.0), (5, 1.0)])
def test_networks_that_are_equal_in_truth_rarely_have_two_ranks(count, between):
    """Twelve kinds, on images of which some are harder for all; the leader is whoever was lucky.
    Levels of trainings differ by `between`, in logits."""
    draw, studies, split = np.random.default_rng(count), 300, 0
    for _ in range(studies):
        level = draw.normal(0, between, (12, count, 1)) + draw.normal(0, 1.5, 100)
        bits = (level + draw.logistic(size=(12, count, 100)) > 0).astype(float)
        best_first = bits[np.argsort(-bits.mean((1, 2)))]
        split += max(ranks([dict(enumerate(table)) for table in best_first])) > 1
    assert split / studies <= 0.05


@pytest.mark.parametrize("count", [1, 2, 3])
def test_with_fewer_than_three_seeds_ranks_are_said_to_be_of_these_networks_only(count):
    words = leaderboard(of_shares({"stdcnn": 0.9, "gcnn": 0.5}, range(count))).words
    assert ("these networks only" in words) == (count < 3)


def test_ranks_never_fall_with_accuracy():
    rng = np.random.default_rng(1)
    for _ in range(5):
        models = ("stdcnn", "gcnn", "hnet", "ptn", "roteqnet", "capsnet")
        table = leaderboard(of_shares({m: rng.uniform(0.4, 0.6) for m in models})).table
        assert table["robust_accuracy"].is_sorted(descending=True)
        assert table["rank"].is_sorted()
        assert table["rank"][0] == 1


def test_the_order_of_rows_changes_nothing():
    rows = of_shares({"stdcnn": 0.9, "gcnn": 0.5})
    shuffled = rows.sample(fraction=1, shuffle=True, seed=2)
    assert leaderboard(shuffled).table.equals(leaderboard(rows).table)


def test_networks_that_fail_checks_are_last_and_have_no_rank():
    rows = of_shares({"stdcnn": 0.9, "gcnn": 0.5})
    failing = (pl.col("model") == "stdcnn") & (pl.col("eps") > 0)
    flagged = rows.with_columns(flags=pl.when(failing).then(pl.lit("repeat")))
    assert leaderboard(flagged).table["rank"].to_list() == [1, None]


def test_columns_are_what_the_rows_have():
    rows = study(test_rotations=(0, 60, 180), eps=(0.1,), attacks=("pgd",))
    trials = trials_of(rows)
    epochs = table_of("training", [one for trial in trials for one in learned(trial, 2.0)])
    board = leaderboard(frame(rows), epochs)
    table = board.table
    assert table.columns[:4] == ["rank", "model", "train_rotation", "adversary"]
    assert {"robust_accuracy", "clean_lower", "rotated_upper", "parameters"} <= set(table.columns)
    assert set(table["train_seconds"]) == {2.0 * trials[0].epochs}
    assert board.words == (
        "Ranked by accuracy under PGD at eps 0.1, images rotated as in training. Rotated: random "
        "rotations in \u00b1180 degrees."
    )
    clean = leaderboard(frame(rows).filter(attack="none"))
    assert "robust_accuracy" not in clean.table.columns
    assert clean.table["clean_accuracy"].is_sorted(descending=True)


def test_where_few_networks_were_attacked_accuracy_without_attack_counts():
    rows = of_shares({"stdcnn": 0.9, "gcnn": 0.8, "hnet": 0.7})
    few = rows.filter((pl.col("attack") == "none") | (pl.col("model") == "hnet"))
    board = leaderboard(few)
    assert board.words.startswith("Ranked by accuracy without attack")
    assert board.table.height == 3


def test_the_worst_rotation_counts_where_it_was_tried():
    worst = Probe(attack="rotation-grid", test_rotation=30.0)
    rows = of_shares({"stdcnn": 0.9, "gcnn": 0.8}, probes=(Probe(), PGD, worst))
    assert "the worst of all tried rotations in \u00b130 degrees" in leaderboard(rows).words


def test_how_networks_were_tested_is_said_unless_it_is_as_usual():
    shares = {"stdcnn": 0.9, "gcnn": 0.5}
    odd = [
        Probe(attack="pgd", eps=0.1, clip=clip, mode="train") for clip in ("normalised", "none")
    ]
    only = leaderboard(of_shares(shares, probes=odd[:1])).words
    assert only.startswith(
        "Ranked by accuracy under PGD at eps 0.1 (clipped to [0, 1] of standardised images, which "
        "leaves the ball, in training mode), images"
    )
    assert "Left out" not in only
    both = leaderboard(of_shares(shares, probes=odd)).words
    assert "at eps 0.1 (not clipped, in training mode)" in both
    assert "Left out: rows with clip normalised." in both
    usual = leaderboard(of_shares(shares, probes=(*BOTH, *odd))).words
    assert usual.startswith("Ranked by accuracy under PGD at eps 0.1, images")
    assert "Left out: rows with clip none, clip normalised and mode train." in usual
    shifted = Probe(test_translation=2.0, mode="train")
    clean = leaderboard(of_shares(shares, probes=[shifted])).words
    assert "without attack (in training mode, shifted by up to 2 pixels), images" in clean


def test_each_data_set_has_ranks_of_its_own():
    parts = [
        of_shares(shares, data=data)
        for data, shares in (
            ("mnist5k", {"stdcnn": 0.9, "gcnn": 0.5}),
            ("fashion-mnist", {"gcnn": 0.4, "hnet": 0.1}),
            ("cifar10", {"stdcnn": 0.7}),
        )
    ]
    board = leaderboard(pl.concat(parts))
    ranked = board.table.select("rank", "data", pl.col("model").str.head(4)).rows()
    assert sorted(ranked, key=str) == [
        (1, "fashion-mnist", "gcnn"),
        (1, "mnist5k", "stdc"),
        (2, "fashion-mnist", "hnet"),
        (2, "mnist5k", "gcnn"),
    ]
    assert board.words.startswith("Each data set has ranks of its own. ")
    assert board.words.count("Ranked by accuracy under PGD at eps 0.1") == 1
    assert "CIFAR-10: Not ranked" in board.words
    one = leaderboard(parts[0]).table
    assert board.table.filter(data="mnist5k").select(one.columns).equals(one)


def test_one_network_is_no_race():
    assert leaderboard(of_shares({"gcnn": 0.9})) is None
    assert leaderboard(frame([])) is None


@pytest.mark.parametrize("attack", ["none", "rotation-grid"])
def test_networks_that_were_only_tested_rotated_are_not_ranked(attack):
    probe = Probe(attack=attack, test_rotation=30.0)
    assert leaderboard(of_shares({"stdcnn": 0.9, "gcnn": 0.5}, probes=[probe])) is None
