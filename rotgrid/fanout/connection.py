"""A Ray cluster to run on: joined, or started, or refused with where its address came from."""

import logging
import os
import socket
from pathlib import Path

import ray
from ray._common.utils import get_ray_address_file  # no public way
from ray._private.services import canonicalize_bootstrap_address

from rotgrid.results.failures import MachineError

CONNECT_SECONDS = 4.0
"""For a cluster to answer, twice: a connection, and a word of Ray's protocol."""

HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""How HTTP/2, which Ray speaks, begins: the preface, and an empty frame of settings."""


class ClusterError(MachineError):
    """Ray cannot be reached, or its nodes cannot do what the plan asks for."""


def connect(address: str | None) -> None:
    """Start or join Ray, quietly.

    Raises:
        ClusterError: says where the address came from.
    """
    found = None
    try:
        if "://" in (address or os.environ.get("RAY_ADDRESS", "")):
            raise ValueError("run the launch on a machine of the cluster, with --address auto")
        if found := canonicalize_bootstrap_address(address):  # type: ignore[arg-type]
            require_answer(found)
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ClusterError(
            f"no Ray cluster {describe_address(address, found)}: {error}"
        ) from error


def describe_address(address: str | None, found: str | None) -> str:
    """Which cluster was to be used, and what says so; `found` is its address in Ray's form."""
    if address not in (None, "", "auto"):
        return f"at {address} (--address)"
    if (named := os.environ.get("RAY_ADDRESS")) not in (None, "", "auto"):
        return f"at {named} (environment variable RAY_ADDRESS)"
    file = Path(get_ray_address_file(None))
    text = file.read_text().strip() if file.exists() else ""
    if found and found.rpartition(":")[2] != text.rpartition(":")[2]:
        return f"at {found} (a Ray that runs on this machine)"
    if not file.exists():
        return "on this machine"
    return (
        f"at {found or repr(text)} ({file}; if that Ray has ended, remove the file, or add "
        "--address local for a new one)"
    )


def require_answer(address: str) -> None:
    """Refuse an address where no Ray answers soon; Ray itself would try for many minutes.

    Raises:
        OSError: nobody answers, or somebody else.
    """
    host, _, port = address.rpartition(":")
    place = (host.strip("[]"), int(port))
    with socket.create_connection(place, timeout=CONNECT_SECONDS) as connection:
        if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
            return
        connection.sendall(HELLO)
        with connection.makefile("rb") as answer:
            if answer.read(4)[3:] != b"\4":
                raise ConnectionError("what answers there is not Ray")
