import os
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import analysis
from analysis.rows import versions
from analysis.rows.loading import gather
from analysis.rows.scan import FIELDS
from analysis.rows.selection import MixedRowsError, comparable
from analysis.stats import paired
from rotgrid import status
from rotgrid.results import failures, inventory, storage
from rotgrid.results.grids import launched_plans
from rotgrid.spec.recipes import FAST

from made_up import (
    DIGEST,
    OWN,
    OWN_ATTACK,
    OWN_DATA,
    checks,
    epochs,
    frame,
    store,
    study,
    trials_of,
)

EARLIER, NEWEST = DIGEST.format(1), DIGEST.format(2)
SMALL = {"train_rotations": (0,), "adversaries": ("none",), "test_rotations": (0,), "eps": (0.1,)}
NAMES = ("nets.a:build", "nets.b:build", "gcnn")
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def of_versions(*kept, **changes):
    """Rows of StdCNN and an own network under an own attack, of these versions."""
    models = (("stdcnn", "table1"), (OWN, ""))
    return [
        one
        for version in kept
        for one in study(
            **{
                "models": models,
                "attacks": ("pgd", OWN_ATTACK),
                "seeds": (0, 1),
                "version": version,
            }
            | SMALL
            | changes
        )
    ]


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.integers(1, 4), st.integers(0, 9)), max_size=30)
)
def test_of_each_name_one_version_is_kept_that_of_the_last_row(seen):
    rows = pl.DataFrame(
        {
            "model": [name for name, *_ in seen],
            "model_digest": [DIGEST.format(v) if ":" in name else "" for name, v, _ in seen],
            "finished_at": [MOMENT + timedelta(days=day) for *_, day in seen],
        },
        schema={
            "model": pl.String,
            "model_digest": pl.String,
            "finished_at": pl.Datetime("us", "UTC"),
        },
    )
    kept, lines = versions.newest(rows)
    assert versions.mixed(kept) == []
    for name in set(rows["model"]):
        before, after = rows.filter(model=name), kept.filter(model=name)
        if ":" not in name:
            assert after.equals(before)
        assert after["finished_at"].max() == before["finished_at"].max()
        (digest,) = set(after["model_digest"])
        assert after.height == before.filter(model_digest=digest).height
        left = before.height - after.height
        assert sum(line.startswith(f"{name}: {left} row") for line in lines) == bool(left)
    assert len(lines) == len(versions.mixed(rows))


def test_a_version_whose_rows_say_no_time_is_the_earlier_one():
    seen = {"name": ["a:b", "a:b"], "version": ["new", "old"], "last": [MOMENT, None]}
    assert versions.earlier(pl.DataFrame(seen)).rows() == [("a:b", "old")]


def test_lines_name_the_earlier_versions_and_count_their_rows():
    several = pl.DataFrame({"name": ["a:b", "a:b"], "version": ["x", "y"]})
    assert versions.line(several, 12) == (
        "a:b: 12 rows of 2 other versions (digests x and y) are left out"
    )
    assert versions.line(several.head(1), 1) == (
        "a:b: 1 row of another version (digest x) is left out"
    )


def test_load_keeps_every_version_and_the_report_the_newest(tmp_path):
    store(tmp_path, of_versions(1, 2))
    rows = analysis.load(tmp_path)
    assert set(rows.filter(model=OWN)["model_digest"]) == {EARLIER, NEWEST}
    loaded = gather(tmp_path)
    assert set(loaded.rows["model_digest"]) == {"", NEWEST}
    assert set(loaded.rows["attack_digest"]) == {"", NEWEST}
    assert set(loaded.overview.networks["model_digest"]) == {"", NEWEST}
    assert loaded.overview.rows == loaded.rows.height
    assert (
        analysis.newest_versions(rows)
        .drop("flags", "cautions")
        .equals(loaded.rows.sort(*FIELDS).drop("flags", "cautions"))
    )
    of_model = rows.filter(model_digest=EARLIER).height
    of_attack = rows.filter(attack_digest=EARLIER).height
    assert analysis.problems(tmp_path) == [
        f"{OWN_ATTACK}: {of_attack} rows of another version (digest {EARLIER}) are left out",
        f"{OWN}: {of_model} rows of another version (digest {EARLIER}) are left out",
    ]


def test_other_tables_have_the_networks_of_the_newest_version_only(tmp_path):
    rows = of_versions(1, 2)
    store(tmp_path, rows)
    trials = trials_of(rows)
    for table, made in (
        ("training", [r for t in trials for r in epochs(t, [90])]),
        ("diagnostics", [r for t in trials for r in checks(t, float64=0.5)]),
    ):
        store(tmp_path, made, table)
    loaded = gather(tmp_path)
    for table in (loaded.training, loaded.diagnostics):
        assert set(table["model_digest"]) == {"", NEWEST}
    assert set(analysis.training(tmp_path)["model_digest"]) == {"", EARLIER, NEWEST}


def test_what_a_launched_grid_asked_of_an_earlier_version_is_not_missing(tmp_path):
    grids = tmp_path / "grids"
    grids.mkdir()
    text = """
blocks:
- {{model: "{own}", data: mnist5k, recipe: fast, seed: [0, 1, 2], probes: {{test_rotation: 0}}}}
pinned: {{"{own}": {{digest: "{digest}", settings: {{variant: null, shape: null}}}}}}
"""
    for version in (1, 2):
        digest = DIGEST.format(version)
        (grids / f"g{version}.yaml").write_text(text.format(own=OWN, digest=digest))
    made = of_versions(1, 2, models=((OWN, ""),), attacks=())
    store(tmp_path, made)
    lines = [line for line in analysis.problems(tmp_path) if "grids/" in line]
    assert len(lines) == 1
    assert "grids/g2.yaml: no rows of 1 of 3 trials" in lines[0]


def test_a_version_that_failed_and_was_repaired_is_neither_missing_nor_a_problem(tmp_path):
    """It has no row by which it would be an earlier one: the launched grids say so."""
    text = """
blocks: [{{model: "{own}", data: mnist5k, recipe: fast, probes: {{test_rotation: 0}}}}]
pinned: {{"{own}": {{digest: "{digest}", settings: {{variant: null, shape: null}}}}}}
"""
    for version in (1, 2):
        digest = DIGEST.format(version)
        storage.put(
            tmp_path, f"grids/g{version}.yaml", text.format(own=OWN, digest=digest).encode()
        )
        (trial,) = launched_plans(tmp_path)[0][f"g{version}"].trials
        failures.record(tmp_path, trial, failures.Attempts("launch", 0), f"ValueError: {version}")
    os.utime(tmp_path / "grids/g1.yaml", (0, 0))
    lines = [line for line in analysis.problems(tmp_path) if "no evaluations" not in line]
    assert len(lines) == 2
    assert lines[0].endswith("ValueError: 2")
    assert "grids/g2.yaml: no rows of 1 of 1 trials" in lines[1]
    plans = launched_plans(tmp_path)[0]
    told = "\n".join(status.failed(str(tmp_path), plans, inventory.take(tmp_path)))
    assert "failed: 1 trial: ValueError: 2" in told
    assert "ValueError: 1" not in told
    assert "not shown: 1 trial that failed with earlier versions" in told


def test_several_versions_are_never_averaged_or_paired():
    """Of other seeds, so that nothing else would stop it."""
    rows = frame(of_versions(1, seeds=(0, 1)) + of_versions(2, seeds=(2,)))
    rows = rows.filter(model=OWN, attack="none")
    with pytest.raises(MixedRowsError, match=f"several versions of {OWN}: .* newest_versions"):
        analysis.summary(rows, ["model"])
    with pytest.raises(MixedRowsError, match="several versions"):
        analysis.accuracy(rows)
    with pytest.raises(MixedRowsError, match="several versions"):
        paired.bits(rows)
    assert analysis.summary(rows, ["model", "model_digest"])["seeds"].to_list() == [2, 1]
    assert analysis.summary(analysis.newest_versions(rows), ["model"])["seeds"].to_list() == [1]


def test_comparable_rows_are_of_the_newest_version_and_it_says_so():
    rows = frame(of_versions(1, 2, attacks=()))
    kept, notes = comparable(rows)
    assert set(kept["model_digest"]) == {"", NEWEST}
    assert f"{OWN}: 2 rows of another version (digest {EARLIER}) are left out." in notes
    with pytest.raises(MixedRowsError, match="several versions"):
        comparable(rows.drop("finished_at"))


def test_data_and_recipes_have_versions_too(tmp_path):
    settings = [FAST.model_copy(update={"weight_decay": w}).model_dump_json() for w in (0.1, 0.2)]
    rows = [
        one
        for version, text in zip((1, 2), settings, strict=True)
        for one in of_versions(
            version, models=(("gcnn", "table1"),), recipe="mine", recipe_settings=text, attacks=()
        )
    ]
    rows += of_versions(1, 2, models=(("gcnn", "table1"),), data=OWN_DATA, attacks=())
    store(tmp_path, rows)
    loaded = gather(tmp_path)
    assert set(loaded.rows["recipe_settings"]) == {"", settings[1]}
    assert set(loaded.rows["data_digest"]) == {"", NEWEST}
    assert sorted(loaded.problems) == [
        f"{OWN_DATA}: 2 rows of another version (digest {EARLIER}) are left out",
        "recipe mine of gcnn: 2 rows with other, earlier settings (like fast but weight_decay 0.1)"
        " are left out",
    ]


def test_a_trial_and_a_row_name_the_same_versions():
    rows = of_versions(1, adversaries=(OWN_ATTACK,))
    for trial in trials_of(rows):
        seen = versions.seen(frame([one for one in rows if one["trial"] == trial.key()]))
        named = set(seen.select("name", "version").rows())
        assert set(versions.named_by(trial)) <= named
    assert (OWN_ATTACK, EARLIER) in set(versions.named_by(trials_of(rows)[0]))
