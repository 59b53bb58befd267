"""The cluster files: Ray's own schema and loader, and what those let pass."""

import copy
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from ray.autoscaler._private.util import prepare_config, validate_config  # no public way

from rotgrid import grid, launch
from rotgrid.grid.problems import GridError

ROOT = Path(__file__).parents[1]
AWS, ONPREMISE = "cluster.yaml", "docs/cluster-onpremise.yaml"
TOKEN = "~/.ray/auth_token"
LOCK = "requirements.lock"
SENT_BYTES = 20_000_000
"""What a launch may send to each node."""
NODE_CONFIG = {
    *("BlockDeviceMappings", "CapacityReservationSpecification", "CpuOptions", "EbsOptimized"),
    *("IamInstanceProfile", "ImageId", "InstanceMarketOptions", "InstanceType", "KeyName"),
    *("LaunchTemplate", "MetadataOptions", "NetworkInterfaces", "Placement", "SecurityGroupIds"),
    *("SubnetIds", "TagSpecifications", "UserData"),
}
"""Of EC2's RunInstances, what a cluster may need; Ray makes a SubnetId of SubnetIds."""

Config = dict[str, Any]
Check = Callable[[Config, str], Iterator[str]]


def accepted_by_ray(config: Config, text: str) -> Iterator[str]:
    try:
        validate_config(prepare_config(copy.deepcopy(config)))
    except jsonschema.ValidationError as error:
        yield error.message
    except (AssertionError, NotImplementedError, ValueError, click.ClickException) as error:
        yield str(error)


def filled_in_silently(config: Config, text: str) -> Iterator[str]:
    """Ray takes a default, or drops the key, and says nothing."""
    on_cloud = config["provider"]["type"] != "local"
    for key in ("cluster_name", *(("max_workers", "idle_timeout_minutes") if on_cloud else ())):
        if key not in config:
            yield f"no {key}"
    if on_cloud and "min_workers" in config:
        yield "min_workers belongs to a node type"
    if on_cloud and config.get("idle_timeout_minutes", 15) < 15:
        yield "idle_timeout_minutes: workers end before they have started"


def mounts(config: Config, text: str) -> Iterator[str]:
    for target, source in config["file_mounts"].items():
        if source != TOKEN and not (ROOT / source).exists():
            yield f"{target}: no {source} to send"
    if TOKEN in config["file_mounts"].values() and "ray get-auth-token --generate" not in text:
        yield "nobody makes the token"


def sent(config: Config, text: str) -> Iterator[str]:
    if ".git" not in config.get("rsync_exclude", ()):
        yield "rsync sends .git"
    if config.get("rsync_filter") != [".gitignore"]:
        yield "rsync sends what git ignores"


def started(config: Config, text: str) -> Iterator[str]:
    head = " ".join(config["head_start_ray_commands"])
    if "ray start --head" not in head:
        yield "the head starts no Ray"
    if "--autoscaling-config=~/ray_bootstrap_config.yaml" not in head:
        yield "the head starts no workers"
    if "--address=$RAY_HEAD_IP:6379" not in " ".join(config["worker_start_ray_commands"]):
        yield "workers do not join the head"


def no_trial_beside_the_driver(config: Config, text: str) -> Iterator[str]:
    types = config.get("available_node_types")
    if types and types[config["head_node_type"]]["resources"].get("CPU") != 0:
        yield "the head has CPUs"
    if not types and "--num-cpus=0" not in " ".join(config["head_start_ray_commands"]):
        yield "the head has CPUs"


def environment(config: Config, text: str) -> Iterator[str]:
    """Variables must reach `ray start` on each node and `ray exec` on the head."""
    docker = config.get("docker", {})
    everywhere = [option.removeprefix("-e ") for option in docker.get("run_options", ())]
    on_head = [option.removeprefix("-e ") for option in docker.get("head_run_options", ())]
    for command in config["setup_commands"]:
        if exported := re.fullmatch(r"echo 'export (.*)' > (\S+); (.*) >> ~/.bashrc", command):
            everywhere += exported[1].split()
    if "RAY_AUTH_MODE=token" not in everywhere:
        yield "RAY_AUTH_MODE=token is not set on all nodes"
    if not any(path.endswith("/.ray/auth_token") for path in config["file_mounts"]):
        yield "no token where Ray looks for it"
    if not any(word.startswith("ROTGRID_RESULTS=") for word in everywhere + on_head):
        yield "ROTGRID_RESULTS is not set on the head"


def versions(config: Config, text: str) -> Iterator[str]:
    """Of Ray and Python: the same everywhere, those of the lock, allowed by the project."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    allowed = {r.name: r.specifier for r in map(Requirement, project["dependencies"])}
    allowed["python"] = SpecifierSet(project["requires-python"])
    locked = re.findall(r"^ray==(\S+)$", (ROOT / LOCK).read_text(), re.MULTILINE)
    named = {"ray": set(locked), "python": set()}
    for image in re.findall(r"image: (\S+)", text):
        tag = re.fullmatch(r"rayproject/ray:([\d.]+)-py3(\d\d)-(cpu|cu\d{3})", image)
        if not tag:
            yield f"{image}: not <Ray>-py<Python>-<cpu or CUDA>"
            continue
        named["ray"].add(tag[1])
        named["python"].add(f"3.{tag[2]}")
    named["python"] |= set(re.findall(r"[Pp]ython ?(3\.\d+)", text))
    for name, found in named.items():
        if len(found) != 1:
            yield f"{name}: one version, not {sorted(found)}"
        if not all(allowed[name].contains(version) for version in found):
            yield f"{name} {sorted(found)}: pyproject.toml wants {allowed[name]}"


def locked(config: Config, text: str) -> Iterator[str]:
    """Wherever rotgrid is installed, it is with the versions of the lock, from the same folder."""
    installs = re.findall(r"pip install (.*)", text)
    installs = [words for words in installs if re.search(r"-e (\.|\S*/rotgrid)( |$)", words)]
    if len(installs) != 2:
        yield "rotgrid is installed here and on the nodes"
    for words in installs:
        if not re.search(rf"-c (\S*/rotgrid/)?{re.escape(LOCK)} ", words):
            yield f"pip install {words}: without {LOCK}"
        if "==" in words:
            yield f"pip install {words}: a version beside {LOCK}"


def node_types(config: Config, text: str) -> Iterator[str]:
    for name, node in config.get("available_node_types", {}).items():
        for key in node["node_config"].keys() - NODE_CONFIG:
            yield f"{name}: EC2 knows no {key}"
        if not {"ImageId", "InstanceType", "IamInstanceProfile"} <= node["node_config"].keys():
            yield f"{name}: needs a machine image and type, and a profile to write results"
        if "SecurityGroupIds" not in node["node_config"]:
            yield f"{name}: Ray makes a security group that lets the world try ssh"


def commands(config: Config, text: str) -> Iterator[str]:
    """The launches that comments show, and their grids."""
    comments = " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))
    shown = re.findall(r"rotgrid\.launch ([^\"]*)\"", comments.replace("\\ ", " "))
    if text.count("export ROTGRID_COMMIT=") != 2 * len(shown):
        yield "rows know no commit"
    if not shown:
        yield "no launch is shown"
    for words in shown:
        try:
            arguments = launch.parse_arguments(shlex.split(words))
            grid.read(str(ROOT / arguments.grid), arguments.set)
        except (SystemExit, GridError) as error:
            yield f"{words}: {error}"


def addresses(config: Config, text: str) -> Iterator[str]:
    """Those in comments are those of the provider."""
    provider = config["provider"]
    known = {provider.get("head_ip"), *provider.get("worker_ips", ())}
    for address in re.findall(r"\b10\.\d+\.\d+\.\d+\b", text):
        if address not in known:
            yield f"{address}: not of this cluster"


CHECKS: tuple[Check, ...] = (
    accepted_by_ray,
    filled_in_silently,
    mounts,
    sent,
    started,
    no_trial_beside_the_driver,
    environment,
    versions,
    locked,
    node_types,
    commands,
    addresses,
)
FAULTS = [
    (accepted_by_ray, AWS, "max_workers: 8 ", "max_worker: 8 ", "max_worker"),
    (accepted_by_ray, AWS, "type: aws", "type: awss", "awss"),
    (accepted_by_ray, AWS, "  container_name: rotgrid", "  #", "container"),
    (accepted_by_ray, AWS, "head_node_type: head", "head_node_type: haed", "head_node_type"),
    (accepted_by_ray, AWS, "{CPU: 0}", "{CPU: 0.5}", "0.5"),
    (accepted_by_ray, AWS, "min_workers: 0 ", "min_workers: 9 ", "max_workers"),
    (accepted_by_ray, AWS, "idle_timeout_minutes: 20", "idle_timeout_minutes: soon", "soon"),
    (accepted_by_ray, ONPREMISE, "worker_ips", "workers", "supply a `head_ip`"),
    (accepted_by_ray, ONPREMISE, "rsync_filter:", "rsync_filters:", "rsync_filters"),
    (filled_in_silently, AWS, "cluster_name: rotgrid", "", "cluster_name"),
    (filled_in_silently, ONPREMISE, "cluster_name: rotgrid", "", "cluster_name"),
    (filled_in_silently, AWS, "max_workers: 8 # CHANGE: m", "#", "max_workers"),
    (filled_in_silently, AWS, "cluster_name:", "min_workers: 1\ncluster_name:", "min_workers"),
    (filled_in_silently, AWS, "minutes: 20", "minutes: 5", "before they have started"),
    (mounts, AWS, "rotgrid: .", "rotgrid: ./rotgird", "no ./rotgird"),
    (mounts, ONPREMISE, "rotgrid: .", "rotgrid: rotgird", "no rotgird"),
    (mounts, ONPREMISE, "get-auth-token", "get-token", "nobody makes the token"),
    (sent, AWS, "[.git, venv]", "[venv]", "sends .git"),
    (sent, ONPREMISE, "rsync_filter: [.gitignore]", "", "git ignores"),
    (started, AWS, "--autoscaling-config=", "--config=", "starts no workers"),
    (started, ONPREMISE, "--head --port", "--port", "starts no Ray"),
    (started, AWS, "$RAY_HEAD_IP", "$HEAD_IP", "do not join"),
    (no_trial_beside_the_driver, AWS, "{CPU: 0}", "{}", "the head has CPUs"),
    (no_trial_beside_the_driver, ONPREMISE, "--num-cpus=0", "", "the head has CPUs"),
    (environment, AWS, "-e RAY_AUTH_MODE=token", "-e RAY_AUTH=token", "RAY_AUTH_MODE"),
    (environment, ONPREMISE, "RAY_AUTH_MODE=token", "", "RAY_AUTH_MODE"),
    (environment, ONPREMISE, ">> ~/.bashrc", ">> ~/.profile", "RAY_AUTH_MODE"),
    (environment, AWS, "ray/.ray/auth_token: ", "ray/auth_token: ", "where Ray looks"),
    (environment, AWS, "-e ROTGRID_RESULTS=", "-e RESULTS=", "ROTGRID_RESULTS"),
    (environment, ONPREMISE, "export ROTGRID_RESULTS=", "export RESULTS=", "ROTGRID_RESULTS"),
    (versions, AWS, "2.60.0-py311-cu128", "latest-gpu", "not <Ray>"),
    (versions, AWS, "2.60.0-py311-cu128", "2.60.0-py312-cu128", "python: one version"),
    (versions, AWS, "2.60.0-py311-cu128", "2.59.0-py311-cu128", "ray: one version"),
    (versions, AWS, "2.60.0", "2.9.0", "wants"),
    (versions, AWS, "2.60.0", "2.60.1", "ray: one version"),
    (versions, AWS, "py311", "py310", "wants"),
    (locked, AWS, "-c requirements.lock ", "", "without requirements.lock"),
    (locked, AWS, "-c /home/ray/rotgrid/requirements.lock ", "", "without requirements.lock"),
    (locked, ONPREMISE, "rotgrid/requirements.lock", "rotgrid/requirements.txt", "without"),
    (locked, ONPREMISE, "-e ~/rotgrid", "torch==2.6.0 -e ~/rotgrid", "a version beside"),
    (locked, ONPREMISE, "-e ~/rotgrid", "rotgrid", "installed here and on the nodes"),
    (versions, ONPREMISE, "python3.11", "python3.12", "python: one version"),
    (node_types, AWS, "InstanceMarketOptions", "InstanceMarketOption", "InstanceMarketOption"),
    (node_types, AWS, "IamInstanceProfile: *worker", "KeyName: mine", "write results"),
    (node_types, AWS, "SecurityGroupIds: *group", "KeyName: mine", "the world"),
    (commands, AWS, "grids/full.yaml", "grids/ful.yaml", "ful.yaml"),
    (commands, AWS, "resources.gpu=", "resource.gpu=", "resource"),
    (commands, AWS, "--address auto", "--adress auto", "--adress"),
    (commands, ONPREMISE, "rotgrid.launch", "rotgrid.lunch", "no launch"),
    (commands, ONPREMISE, "export ROTGRID_COMMIT=$R", "COMMIT=$R", "know no commit"),
    (addresses, ONPREMISE, "for ip in 10.0.0.12", "for ip in 10.0.0.21", "10.0.0.21"),
]


def problems(check: Check, text: str) -> list[str]:
    return list(check(yaml.safe_load(text), text))


@pytest.mark.parametrize("file", [AWS, ONPREMISE])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_files_pass(check, file):
    assert problems(check, (ROOT / file).read_text()) == []


@pytest.mark.parametrize(
    ("check", "file", "right", "wrong", "says"),
    FAULTS,
    ids=[f"{check.__name__}-{i}" for i, (check, *_) in enumerate(FAULTS)],
)
def test_a_fault_is_found(check, file, right, wrong, says):
    text = (ROOT / file).read_text()
    assert right in text
    found = problems(check, text.replace(right, wrong))
    assert any(says in problem for problem in found), found


def test_each_check_has_found_a_fault():
    assert {check for check, *_ in FAULTS} == set(CHECKS)


def test_little_is_sent_to_each_node():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    files = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    assert 0 < sum(file.stat().st_size for file in files if file.exists()) < SENT_BYTES
