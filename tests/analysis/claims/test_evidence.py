import numpy as np
import pytest

from analysis.claims import evidence
from analysis.claims.contrasts import small_and_large
from analysis.claims.evidence import Evidence, Part, Wanted
from analysis.rows.selection import NotMeasured
from rotgrid.spec import Probe, Trial

from made_up import frame, row


def part(holds, fails, words="A - B"):
    return Part(words, 0.02, 0.01, 0.03, holds, fails, 1_000, 5)


def test_all_parts_must_hold_and_one_that_fails_is_one_of_many():
    found = Evidence([part(0.01, 0.99), part(0.03, 0.97), part(0.98, 0.02)], [], frame([]))
    assert found.p_holds() == 0.98
    assert found.p_fails() == pytest.approx(3 * 0.02)
    assert found.weakest() == found.counterexample() == found.parts[2]
    assert found._replace(absent=["C - D"]).p_holds() == 1
    assert found._replace(absent=["C - D"]).p_fails() == found.p_fails()
    assert Evidence([part(0.5, 0.5)] * 3, [], frame([])).p_fails() == 1


def bits(share, n=1_000, seeds=5):
    """Networks that are all equally accurate on their own images."""
    draw = np.random.default_rng(int(1_000 * share))
    return {seed: (draw.permutation(n) < share * n).astype(float) for seed in range(seeds)}


def test_a_part_between_two_bounds_needs_both_and_fails_beyond_either():
    one = [(1.0, bits(0.5), "gcnn")]
    inside, low, high = (
        evidence.part(Wanted("", (), *bounds), one)
        for bounds in ((0.4, 0.6), (0.55, 0.7), (0.3, 0.45))
    )
    assert inside.holds < 0.001
    assert inside.fails == 1
    assert low.holds > 0.999
    assert high.holds > 0.999
    alone = evidence.part(Wanted("", (), 0.52), one)
    both = evidence.part(Wanted("", (), 0.52, 0.9), one)
    assert both.fails == pytest.approx(2 * alone.fails)
    assert (inside.estimate, inside.n, inside.seeds) == (pytest.approx(0.5), 1_000, 5)


def rows_of(*accuracies):
    rows = []
    for model, share in zip(("gcnn", "stdcnn"), accuracies, strict=True):
        for seed in range(5):
            packed = np.packbits(bits(share)[seed].astype(bool)).tobytes()
            trial = Trial(model=model, data="mnist5k", seed=seed)
            changes = {"n_correct": round(1_000 * share), "correct": packed, "flags": ""}
            rows.append(row(trial, Probe(test_rotation=0.0), **changes))
    return frame(rows)


def test_either_way_may_hold_at_the_price_of_having_looked_at_both():
    rows = rows_of(0.52, 0.50)
    terms = [(1.0, {"model": "gcnn"}), (-1.0, {"model": "stdcnn"})]
    above, below = Wanted("more", terms, low=0.0), Wanted("less", terms, high=0.0)
    single = evidence.single(rows, above)
    found = evidence.either(rows, evidence.Either("differ", [above], [below]))
    assert found.holds == pytest.approx(2 * single.holds)
    assert found.fails == pytest.approx(max(single.fails, single.holds))
    assert found.words == "differ, more"


def test_what_cannot_be_measured_is_absent_and_nothing_at_all_is_an_error():
    rows = rows_of(0.9, 0.5)
    known = Wanted("known", [(1.0, {"model": "gcnn"})], low=0.5)
    unknown = Wanted("unknown", [(1.0, {"model": "ptn", "test_rotation": 0.0})], low=0.5)
    found = evidence.evidence(rows, [known, unknown])
    assert [one.words for one in found.parts] == ["known"]
    assert found.absent == ["unknown (needs rows with model ptn, test_rotation 0)"]
    with pytest.raises(NotMeasured, match="unknown"):
        evidence.evidence(rows, [unknown])


def test_numbers_are_written_in_their_unit():
    assert str(part(0, 1)) == "A - B: +2.00 points [+1.00, +3.00]"
    assert str(part(0, 1)._replace(unit="share")) == "A - B: 2.00% [1.00, 3.00]"
    assert str(part(0, 1)._replace(unit="number")) == "A - B: +0.020 [+0.010, +0.030]"


def test_ranges_are_small_up_to_40_and_large_from_90_degrees():
    trials = [
        Trial(model=model, data="mnist5k", train_rotation=x)
        for model in ("gcnn", "stdcnn")
        for x in (0.0, 40.0, 41.0, 89.0, 90.0, 180.0)
    ]
    rows = frame([row(trial, Probe(attack="fgsm", eps=0.3)) for trial in trials])
    assert small_and_large(rows) == ([0, 40], [90, 180])
    only_stdcnn = rows.filter(model="stdcnn", train_rotation=40.0)
    assert small_and_large(rows.join(only_stdcnn, on="trial", how="anti"))[0] == [0]


def test_what_is_subtracted_was_trained_apart_unless_it_is_the_same_network():
    wide, upright = ({"model": "gcnn", "train_rotation": x} for x in (180.0, 0.0))
    one, other = evidence.arms([(1.0, wide), (-1.0, upright)])
    assert one != other
    added = evidence.arms([(0.5, wide), (0.5, upright), (-1.0, {"model": "stdcnn"})])
    assert added[0] == added[1] != added[2]
    attacks = [(sign, {**wide, "attack": of}) for sign, of in ((1.0, "fgsm"), (-1.0, "pgd"))]
    assert len(set(evidence.arms(attacks))) == 1
