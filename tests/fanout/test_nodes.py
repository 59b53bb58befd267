import pytest

from rotgrid.fanout import nodes


@pytest.mark.parametrize("gone", [False, True])
def test_a_node_that_is_lost_during_the_check_is_no_reason_to_refuse(members, monkeypatch, gone):
    def get(*_, **__):
        raise nodes.ray.exceptions.TaskUnschedulableError("it does not exist any more")

    monkeypatch.setattr(nodes.ray, "get", get)
    node = {"NodeID": "a", "NodeManagerHostname": "h", "NodeManagerAddress": "10.0.0.7"}
    members[0]["NodeID"], members[1]["NodeID"] = ("b", "a") if gone else ("a", "b")
    found = nodes.reported_problems(node, None)
    assert len(found) == (0 if gone else 1)
    assert all(line.startswith("node h (10.0.0.7): cannot run rotgrid: ") for line in found)
