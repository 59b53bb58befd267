"""What each node must agree to before it runs a trial: versions, results, GPU, images."""

import functools
import platform
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rotgrid.fanout.capacity import can_run, living_nodes
from rotgrid.fanout.connection import ClusterError
from rotgrid.grid import Resources
from rotgrid.results import provenance, storage

NODE_SECONDS = 180.0
"""For a node to answer before the start."""


class Check(NamedTuple):
    """What a node must agree to before it runs a trial."""

    results_in: str
    marker: str
    """A file in `results_in`, for the time of the launch."""
    versions: tuple[tuple[str, str], ...]
    gpu: float


def inspect_nodes(check: Check, resources: Resources, images: Mapping[Any, ray.ObjectRef]) -> None:
    """Have every node that can run a trial write results, read this process's, fetch the images.

    `run_trial` asks the same of nodes that join later.

    Raises:
        ClusterError: names each node that cannot, and why.
    """
    nodes = living_nodes()
    if len(nodes) == 1:  # this process has done all that already
        return
    task = ray.remote(num_cpus=0, max_retries=0)(inspect_here)
    asked = []
    for node in nodes:
        if can_run(node["Resources"], resources):
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            options = task.options(scheduling_strategy=there)
            asked.append((node, options.remote(check, list(images.values()))))
    if problems := [line for node, reply in asked for line in reported_problems(node, reply)]:
        raise ClusterError("\n".join(problems))


def reported_problems(node: Mapping[str, Any], reply: ray.ObjectRef) -> list[str]:
    """What a node finds wrong; nothing if it is gone meanwhile."""
    try:
        found = ray.get(reply, timeout=NODE_SECONDS)
    except ray.exceptions.GetTimeoutError:
        found = [f"does not answer within {NODE_SECONDS:g} s"]
    except (ray.exceptions.RayError, ImportError) as error:
        found = [f"cannot run rotgrid: {str(error).strip().splitlines()[-1]}"]
        if node["NodeID"] not in [other["NodeID"] for other in living_nodes()]:
            return []
    name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
    return [f"node {name}: {line}" for line in found]


def reasons_to_refuse(check: Check, images: ray.ObjectRef) -> str:
    """Why this node cannot run a trial on these images, or nothing if it can."""
    where = f"node {platform.node()} ({ray.util.get_node_ip_address()})"
    return "\n".join(f"{where}: {line}" for line in inspect_here(check, [images]))


def inspect_here(check: Check, images: Iterable[ray.ObjectRef]) -> list[str]:
    """What is wrong with this node, in words."""
    return [*node_problems(check), *filter(None, map(missing_images, images))]


@functools.cache
def node_problems(check: Check) -> tuple[str, ...]:
    """What keeps this process from running any trial of a launch."""
    asked = (differing_versions(check.versions), results_problem(check), device_problem(check.gpu))
    return tuple(filter(None, asked))


def results_problem(check: Check) -> str:
    """Why results cannot be written from here, or nothing."""
    root = check.results_in
    try:
        if trouble := storage.wait_until_writable(root, storage.OUTAGE_SECONDS):
            return trouble
        if storage.exists(root, check.marker):
            return ""
    except OSError as error:
        return str(error)
    return (
        f"{root} is another folder there than here: results must be where all nodes can write, "
        "a shared folder or s3:// or gs://"
    )


def device_problem(gpu: float) -> str:
    """Why this process cannot compute on what a trial asks for, or nothing."""
    from rotgrid.device import DeviceError, require_device

    try:
        require_device(gpu)
    except DeviceError as error:
        return str(error)
    return ""


@functools.lru_cache(maxsize=1)
def missing_images(images: ray.ObjectRef) -> str:
    """Why images cannot be fetched, or nothing."""
    try:
        ray.get(images, timeout=NODE_SECONDS)
    except ray.exceptions.RayError as error:
        return f"cannot fetch the images: {str(error).strip().splitlines()[0]}"
    return ""


def differing_versions(expected: Iterable[tuple[str, str]]) -> str:
    """Which versions here are not those of the launch, or nothing."""
    here = versions()
    differ = [f"{name} {here[name]}, not {other}" for name, other in expected
              if here[name] != other]  # fmt: skip
    if not differ:
        return ""
    return (
        f"this node has {'; '.join(differ)} as the launch: install the same on all nodes "
        "(`ray up` does), and leave the code alone while a launch runs"
    )


def versions() -> dict[str, str]:
    """What all nodes must have in common, by name."""
    return {
        **provenance.versions(),
        "ray": ray.__version__,
        "rotgrid's code": provenance.files_digest(),
    }
