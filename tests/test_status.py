from rotgrid import experiment, failures, status, storage
from rotgrid.spec import Probe

GRID = """
name: g
defaults: {data: mnist5k, recipe: fast, train_size: 100, epochs: 1}
blocks: [{model: stdcnn, seed: [0, 1, 2, 3], probes: {n_images: 20}}]
"""


def test_states_are_read_from_the_files_alone(tmp_path, capsys):
    from rotgrid import grid

    trials = list(grid.parse(GRID).trials)
    storage.put(tmp_path, "grids/g.yaml", GRID.encode())
    experiment.run(trials[0], [Probe(n_images=20)], tmp_path)
    tries = failures.Attempts("launch", retries=0)
    failures.record(tmp_path, trials[1], tries, "E: x", host="h")
    failures.record(tmp_path, trials[3], failures.Attempts("launch", retries=3), "E: passing")
    storage.put(tmp_path, f"checkpoints/{trials[2].key()}.training.pt", b"")
    (tmp_path / "evaluations" / "bad.parquet").write_text("x")
    assert status.main([str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    line = next(line.split() for line in out.splitlines() if line.split()[:1] == ["g"])
    assert line == ["g", "4", "1", "1", "1", "1", "1/4"]
    assert "to be tried again: 1 trial that failed" in out
    assert "E: passing" not in out
    assert "failed: 1 trial: E: x\n  on h; 1 attempt at most; model stdcnn" in out
    again = f"python -m rotgrid.launch {tmp_path}/grids/g.yaml --results {tmp_path}"
    assert f"reproduce one:  {again} --only {trials[1].key()}" in out
    assert "bad.parquet: skipped" in err


def test_no_results_is_said(tmp_path, capsys):
    assert status.main([str(tmp_path / "none")]) == 2
    assert "no launched grid" in capsys.readouterr().err
