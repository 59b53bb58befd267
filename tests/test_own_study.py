"""A study of a user's own: network, attack, adversary, recipe and data, from plan to rows."""

import polars as pl
import pytest

import analysis
import rotgrid
from analysis.rows import loading
from rotgrid import experiment, grid, launch, status
from rotgrid.spec import Probe, Trial, extensions

from own_files import BLOCKS, write, write_all, write_npz
from stored_rows import stored

MINE = "mynets.nets:build"


@pytest.fixture
def grid_file(folder):
    """Own everything, on colour images of four classes."""
    path = write_all(folder)
    write_npz(folder / "mine.npz", size=16)
    text = path.read_text().replace("data: mnist5k, train_size: 100", "data: mine.npz")
    path.write_text(text)
    return path


def run(grid_file, *flags):
    return launch.main([str(grid_file), "--results", "r", "--local", "--no-report", *flags])


def test_a_changed_line_makes_new_keys_and_leaves_the_old_rows(grid_file, folder, capsys):
    assert run(grid_file) == 0
    first = stored(folder / "r")
    assert run(grid_file) == 0
    assert "nothing to do: 4 trials, 12 rows" in capsys.readouterr().out
    write(folder, mynets__blocks=BLOCKS.replace("Tanh", "Sigmoid"))
    assert run(grid_file) == 0
    rows = stored(folder / "r")
    assert len(rows) == 18
    assert all(row in rows for row in first)
    old, new = (rotgrid.load_network("r", key) for key in two_versions(folder))
    assert "Tanh" in str(old)
    assert "Sigmoid" in str(new)


def test_own_data_that_are_replaced_are_others(grid_file, folder):
    """Under the same name, in the same process."""
    assert run(grid_file) == 0
    write_npz(folder / "mine.npz", size=18)
    assert run(grid_file) == 0
    sizes = {row["data_digest"] for row in stored(folder / "r")}
    assert len(sizes) == 2


def test_the_report_is_of_the_version_that_was_launched_last(grid_file, folder, capsys):
    """A file that is put back as it was counts again, though its rows are the older ones."""
    for text in (BLOCKS, BLOCKS.replace("Tanh", "Sigmoid"), BLOCKS):
        write(folder, mynets__blocks=text)
        assert run(grid_file) == 0
        digest = extensions.read(MINE).digest
        rows = loading.gather("r").rows.filter(pl.col("model") == MINE)
        assert set(rows["model_digest"]) == {digest}
    assert "nothing to do" in capsys.readouterr().out


def two_versions(folder):
    """Keys of the own network without adversary, the older first."""
    rows = analysis.load("r").filter(pl.col("model") == MINE, pl.col("adversary") == "none")
    by_version = rows.group_by("trial").agg(pl.col("finished_at").max()).sort("finished_at")
    return by_version["trial"].to_list()


def test_status_and_networks_need_no_file_of_the_user(grid_file, folder, capsys):
    assert run(grid_file) == 0
    for path in [*(folder / "mynets").iterdir(), folder / "mine.npz"]:
        path.unlink()
    capsys.readouterr()
    assert status.main(["r"]) == 0
    assert "12/12" in capsys.readouterr().out
    (key,) = two_versions(folder)
    assert rotgrid.load_network("r", key)


def test_rows_say_what_was_measured(grid_file, folder):
    run(grid_file)
    rows = analysis.load("r")
    assert set(rows["class_n"].list.len()) == {4}
    own = rows.filter(pl.col("attack") == "mynets.attacks:mine")
    assert own["attack_digest"].n_unique() == 1
    assert own["restarts"].to_list() == [0] * len(own)
    by_key = {
        row["trial"]: Trial(**{f: row[f] for f in Trial.model_fields}) for row in rows.to_dicts()
    }
    assert all(trial.key() == key for key, trial in by_key.items())


def test_what_an_own_attack_does_wrong_costs_its_rows_alone(grid_file, folder):
    """It is well on an untrained network, and leaves the ball on a trained one."""
    text = (folder / "mynets/attacks.py").read_text()
    bad = "    far = 9 if len(images) > 4 else 1\n    return (images + far * eps).clamp(0, 1)\n"
    write(folder, mynets__attacks=text.rpartition("    return")[0] + bad)
    grid_file.write_text(
        grid_file.read_text()
        .replace('adversary: [none, "mynets.attacks:mine"]', "adversary: none")
        .replace("    adversary_eps: 0.1\n", "")
    )
    assert run(grid_file) == 3
    attacks = {row["attack"] for row in stored(folder / "r")}
    assert attacks == {"none", "pgd"}


def test_an_own_network_makes_the_images_of_a_transfer(grid_file, folder):
    trial = Trial(model="stdcnn", data="mine.npz", epochs=1)
    probe = Probe(attack="transfer", source=MINE, eps=0.1, steps=2, n_images=10)
    assert probe.source_digest
    assert experiment.run(trial, [probe], "r") == 1
    (row,) = stored(folder / "r")
    assert (row["source"], row["n"]) == (MINE, 10)


def test_a_grid_whose_only_own_name_is_a_source_keeps_that_source(folder):
    write_all(folder)
    probes = "{attack: transfer, source: 'mynets.nets:build', eps: 0.1, steps: 2, n_images: 10}"
    block = "{model: stdcnn, data: mnist5k, train_size: 100, epochs: 1, probes: " + probes + "}"
    (folder / "g.yaml").write_text(f"blocks: [{block}]")
    assert run(folder / "g.yaml") == 0
    assert {path.name for path in (folder / "r/code").rglob("*.py")} == {"nets.py", "blocks.py"}


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (("nn.Linear(width, shape.classes)", "nn.Linear(width, 3)"), 2, "returns (4, 3) for"),
        (("import hidden", "import hiden"), 2, "cannot be imported: "),
        (("def build", "def built"), 2, "own.yaml:5:21: blocks.0.model.1: mynets.nets:build"),
    ],
)
def test_mistakes_are_said_before_any_work(grid_file, folder, capsys, change, code, message):
    nets = folder / "mynets/nets.py"
    nets.write_text(nets.read_text().replace(*change))
    assert run(grid_file) == code
    assert message in capsys.readouterr().err
    assert not (folder / "r/evaluations").exists()


def test_a_stored_grid_is_launched_with_the_code_it_was_stored_with(grid_file, folder, capsys):
    assert run(grid_file) == 0
    write(folder, mynets__blocks=BLOCKS + "# more\n")
    assert run("r/grids/own.yaml") == 0  # all is there
    more = ["--set", "defaults.seed=1"]
    assert run("r/grids/own.yaml", *more) == 2
    assert "they were changed since" in capsys.readouterr().err
    assert len(grid.read("r/grids/own.yaml").trials) == 4
