import contextlib
import socket
import threading

import pytest

from rotgrid.fanout import connection


@pytest.fixture
def connected(monkeypatch, tmp_path):
    """What `ray.init` is called with; no cluster is known."""
    calls = []
    monkeypatch.setattr(connection.ray, "init", lambda **given: calls.append(given["address"]))
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "ray").mkdir()
    return calls


@contextlib.contextmanager
def server(greeting, host="127.0.0.1"):
    """Somebody who says the same to all who come; the address. Ray takes a loopback address for
    this machine's own, so it listens there too."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listening:
        open_ones = []

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    open_ones.append(listening.accept()[0])
                    open_ones[-1].sendall(greeting)

        threading.Thread(target=serve, daemon=True).start()
        shown = f"[{host}]" if ":" in host else host
        yield f"{shown}:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        for one in open_ones:
            one.close()


RAY_SAYS = b"\0\0\0\4\0\0\0\0\0"
"""The empty frame of settings with which HTTP/2 begins."""


def closed():
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.parametrize("way", ["--address", "RAY_ADDRESS", "ray_current_cluster"])
@pytest.mark.parametrize("trouble", ["nobody", "somebody else", "silence"])
def test_an_address_where_no_ray_answers_is_refused_at_once(
    connected, monkeypatch, tmp_path, way, trouble
):
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.2)
    greeting = b"SSH-2.0-OpenSSH\r\n" if trouble == "somebody else" else b""
    with contextlib.ExitStack() as stack:
        address = closed() if trouble == "nobody" else stack.enter_context(server(greeting))
        if way == "RAY_ADDRESS":
            monkeypatch.setenv(way, address)
        elif way == "ray_current_cluster":
            (tmp_path / "ray" / way).write_text(address)
        port = address.rpartition(":")[2]
        with pytest.raises(connection.ClusterError, match=rf"at \S+:{port} .*{way}") as error:
            connection.connect(address if way == "--address" else None)
    assert {
        "nobody": "refused",
        "somebody else": "what answers there is not Ray",
        "silence": "timed out",
    }[trouble] in str(error.value)
    assert connected == []


def test_a_file_that_a_crash_left_behind_can_be_removed_or_passed_over(connected, tmp_path):
    file = tmp_path / "ray/ray_current_cluster"
    file.write_text(closed())
    for _ in "an old address", "nothing":
        with pytest.raises(
            connection.ClusterError, match="remove the file, or add --address local"
        ):
            connection.connect(None)
        file.write_text("")
    connection.connect("local")
    file.unlink()
    connection.connect(None)
    assert connected == ["local", None]


def test_a_cluster_that_was_found_by_its_processes_is_said_to_be(connected, monkeypatch, tmp_path):
    """Ray looks for them with --address auto, before it reads its file."""
    (tmp_path / "ray/ray_current_cluster").write_text("127.0.0.1:1")
    monkeypatch.setattr(connection, "canonicalize_bootstrap_address", lambda _: closed())
    with pytest.raises(connection.ClusterError, match=r"\(a Ray that runs on this machine\)"):
        connection.connect("auto")


@pytest.mark.parametrize("address", ["ray://127.0.0.1:10001", "http://127.0.0.1:8265"])
def test_what_is_no_address_of_a_cluster_is_refused(connected, monkeypatch, address):
    for given in (address, None):
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(connection.ClusterError, match="on a machine of the cluster"):
            connection.connect(given)
    with pytest.raises(connection.ClusterError, match="Invalid address format: here"):
        connection.connect("here")
    assert connected == []


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_cluster_that_answers_is_joined(connected, monkeypatch, host):
    with server(RAY_SAYS, host) as address:
        connection.connect(address)
        monkeypatch.setenv("RAY_ADDRESS", address)
        connection.connect(None)
        connection.connect("auto")
    assert connected == [address, None, "auto"]
