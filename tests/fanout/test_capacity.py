import pytest

from rotgrid import grid
from rotgrid.fanout import capacity, connection


def test_what_no_node_has_is_refused_before_it_waits_forever(members):
    def require(**resources):
        capacity.require(grid.Resources(**resources), pytest.fail)

    require(cpu=2)
    with pytest.raises(connection.ClusterError, match=r"0.25 GPU .* --set resources.gpu=0"):
        require(gpu=0.25)
    with pytest.raises(connection.ClusterError, match="no node has more than 2"):
        require(cpu=3)
    capacity.BOOTSTRAP.write_text("""
available_node_types:
  head: {resources: {CPU: 0}, max_workers: 0}
  big: {resources: {CPU: 64, GPU: 8}, max_workers: 0}
  small: {resources: {CPU: 1, GPU: 4, memory: 16000}, max_workers: 2}
""")
    require(cpu=1, gpu=0.25)
    with pytest.raises(connection.ClusterError, match=r"2 CPU and 0.25 GPU together"):
        require(cpu=2, gpu=0.25)


STATUS = '{"autoscaler_report": {"active_nodes": {"%s": 1}}}'
GROUP, WATCHED = STATUS % "headgroup", STATUS % ("node_" + "0a" * 28)


@pytest.mark.parametrize(
    ("second", "first", "expected"),
    [
        (b"0", None, False),
        (b"0", "{}", False),
        (b"0", '{"autoscaler_report": {"active_nodes": null}}', False),
        (b"0", WATCHED, False),
        (b"0", GROUP, True),
        (b"1", None, True),
    ],
)
def test_an_autoscaler_is_known_by_what_it_writes(members, monkeypatch, second, first, expected):
    def get(key, namespace=None):
        return second if "v2" in key else first

    monkeypatch.setattr(capacity, "_internal_kv_get", get)
    assert capacity.has_autoscaler() is expected


@pytest.fixture
def growing(members, monkeypatch):
    """A cluster with an autoscaler; what is asked of it. Time passes by sleeping alone."""
    asked, now = [], [0.0]
    monkeypatch.setattr(capacity, "has_autoscaler", lambda: True)
    monkeypatch.setattr(capacity, "request_resources", lambda bundles: asked.append(bundles))
    monkeypatch.setattr(capacity.time, "monotonic", lambda: now[0])

    def sleep(seconds):
        now[0] += seconds
        if now[0] == 60:
            members.append({"Alive": True, "Resources": {"CPU": 8.0, "GPU": 1.0}})

    monkeypatch.setattr(capacity.time, "sleep", sleep)
    return asked


def test_nodes_that_an_autoscaler_adds_are_waited_for(growing):
    said = []
    capacity.require(grid.Resources(cpu=1, gpu=0.25), said.append)
    assert growing == [[{"CPU": 1, "GPU": 1}], []]
    assert len(said) == 1
    assert said[0].startswith("waiting up to 15 min for the cluster to grow: each trial asks for")


def test_they_are_not_waited_for_forever(growing):
    with pytest.raises(connection.ClusterError, match="4 GPU and no node has more than 1"):
        capacity.require(grid.Resources(cpu=1, gpu=4), str)
    assert growing == [[{"CPU": 1, "GPU": 4}], []]
