"""Whether a cluster has room for a trial: what its nodes have, now or when it grows."""

import json
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
import yaml
from ray.autoscaler.sdk import request_resources
from ray.experimental.internal_kv import _internal_kv_get

from rotgrid.fanout.connection import ClusterError
from rotgrid.grid import Resources

BOOTSTRAP = Path("~/ray_bootstrap_config.yaml")
"""What `ray up` leaves on the head; Ray has no other way to ask."""

GROWTH_SECONDS = 900.0
"""For an autoscaler to add a node that a trial fits on."""


def require(resources: Resources, say: Callable[[str], object]) -> None:
    """Refuse what no node can give, now or when the cluster grows, instead of waiting forever.

    Where an autoscaler does not tell which nodes it may add, it is asked for one, and has
    `GROWTH_SECONDS`; `say` is told of it.
    """
    trouble = shortage(node_resources() + (kinds := addable_nodes()), resources)
    if trouble and not kinds and has_autoscaler():
        say(f"waiting up to {GROWTH_SECONDS / 60:g} min for the cluster to grow: {trouble}")
        trouble = wait_for_growth(resources)
    if trouble:
        raise ClusterError(trouble)


def living_nodes() -> list[dict[str, Any]]:
    """The nodes of the cluster."""
    return [node for node in ray.nodes() if node["Alive"]]


def node_resources() -> list[dict[str, float]]:
    """Resources of the nodes of the cluster."""
    return [node["Resources"] for node in living_nodes()]


def shortage(kinds: Sequence[Mapping[str, float]], resources: Resources) -> str:
    """Why no node of these kinds can run a trial, or nothing if one can."""
    for name, key, wanted in (("cpu", "CPU", resources.cpu), ("gpu", "GPU", resources.gpu)):
        most = max((kind.get(key, 0) for kind in kinds), default=0)
        if wanted > most:
            return (
                f"each trial asks for {wanted:g} {key} and no node has more than {most:g}: "
                f"change `resources` in the grid, or add --set resources.{name}={int(most)}"
            )
    if not any(can_run(kind, resources) for kind in kinds):
        return (
            f"each trial asks for {resources.cpu:g} CPU and {resources.gpu:g} GPU together, "
            "and no node has both: change `resources` in the grid"
        )
    return ""


def can_run(kind: Mapping[str, float], resources: Resources) -> bool:
    """Whether a node with these resources can run a trial."""
    return kind.get("CPU", 0) >= resources.cpu and kind.get("GPU", 0) >= resources.gpu


def addable_nodes() -> list[dict[str, float]]:
    """Resources of each kind of node that the autoscaler of `ray up` may add; its head knows."""
    try:
        config = yaml.safe_load(BOOTSTRAP.expanduser().read_text())
    except OSError:
        return []
    kinds = config["available_node_types"].values()
    return [dict(kind["resources"]) for kind in kinds if kind.get("max_workers", 1)]


def has_autoscaler() -> bool:
    """Whether the cluster has an autoscaler, such as KubeRay's.

    One of version 1 reports nodes by the names of their groups; what only watches, as where `ray
    start` alone was called, by their ids.
    """
    if _internal_kv_get("__autoscaler_v2_enabled", namespace=b"__autoscaler") == b"1":
        return True
    status = json.loads(_internal_kv_get("__autoscaling_status") or "{}")
    kinds = (status.get("autoscaler_report") or {}).get("active_nodes") or {}
    return any(not re.fullmatch("node_[0-9a-f]+", kind) for kind in kinds)


def wait_for_growth(resources: Resources) -> str:
    """Ask for a node that a trial fits on; why it does not come, or nothing."""
    until = time.monotonic() + GROWTH_SECONDS
    share = {"CPU": resources.cpu, "GPU": math.ceil(resources.gpu)}
    request_resources(bundles=[{name: amount for name, amount in share.items() if amount}])
    try:
        while (trouble := shortage(node_resources(), resources)) and time.monotonic() < until:
            time.sleep(1)
    finally:
        request_resources(bundles=[])
    return trouble
