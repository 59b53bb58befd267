import pytest

from rotgrid.fanout import capacity


@pytest.fixture
def members(monkeypatch, tmp_path):
    """Of a cluster of one node with two CPUs that does not grow."""
    members = [
        {"Alive": True, "Resources": {"CPU": 2.0}},
        {"Alive": False, "Resources": {"GPU": 8}},
    ]
    monkeypatch.setattr(capacity.ray, "nodes", lambda: members)
    monkeypatch.setattr(capacity, "_internal_kv_get", lambda *_, **__: None)
    monkeypatch.setattr(capacity, "BOOTSTRAP", tmp_path / "ray_bootstrap_config.yaml")
    return members
