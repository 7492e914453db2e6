"""The nodes of a Ray cluster: what reaches them, and whether each can run trials, asked before there are any."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.model import Resources, SearchSpace

DECISIVE = ("torch", "torchvision", "open_clip_torch", "numpy", "pillow")
"""Packages that the numbers of a trial depend on, or whether it runs at all."""

KNOCK_SECONDS = 10.0
"""How long the head of a cluster may take to answer."""

JOIN = "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False, logging_level='ERROR')"
JOIN_SECONDS = 40.0

ANSWER_SECONDS = 600.0
"""How long a node may take to be sent the code, start a process and go through the files."""

LEAVING_SECONDS = 5.0
"""How long Ray may take to notice that a node is gone, once the node does not do what it is asked."""

LIBRARIES = "a Python with flyp-sweep's libraries on all nodes"


@dataclass(frozen=True)
class Node:
    """A node as Ray tells it."""

    id: str
    address: str
    cpus: float
    gpus: float

    def has(self, wanted: Resources) -> bool:
        return self.cpus >= wanted.cpu and self.gpus >= wanted.gpu


@dataclass(frozen=True)
class Found:
    """What a node says of itself: what is wrong in a line, or None, and the versions of its packages."""

    trouble: str | None
    versions: Mapping[str, str | None]


SILENT = Found(f"found no answer within {ANSWER_SECONDS:g} s; expected it to start a process and look around", {})


def nodes() -> list[Node]:
    """The nodes that are alive."""
    import ray

    alive = [node for node in ray.nodes() if node["Alive"]]
    parts = [(node["NodeID"], node["NodeManagerAddress"], node["Resources"]) for node in alive]
    return [Node(name, at, has.get("CPU", 0.0), has.get("GPU", 0.0)) for name, at, has in parts]


def check_address(address: str) -> None:
    """Raise InputError for what is no cluster that this machine is a node of.

    Ray would go on trying for minutes, or end the driver with a trace of its C++.
    """
    if address == "auto":
        return
    if address.startswith("ray://"):
        raise InputError(
            f"--address: found {address!r}; expected auto, or HOST:PORT of a cluster that this machine is a node of: "
            "the driver keeps the ledger (from outside: ray job submit -- flyp-sweep run SPACE --address auto)"
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise InputError(f"--address: found {address!r}; expected auto or HOST:PORT, as `ray start` prints it")
    try:
        socket.create_connection((host.strip("[]"), int(port)), KNOCK_SECONDS).close()
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"--address: found nobody at {address!r} ({reason}); start a cluster with `ray start --head`"
        ) from error
    check_joins(address)


def check_joins(address: str) -> None:
    """Join the cluster at `address` in a process of its own. Raises InputError when that process cannot.

    Where no Ray answers, Ray tries for two minutes and then ends the process from its C++.
    """
    command = [sys.executable, "-c", JOIN, address]
    try:
        joined = subprocess.run(command, capture_output=True, text=True, timeout=JOIN_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"--address: found something at {address!r} that does not answer as a Ray cluster within "
            f"{JOIN_SECONDS:g} s; expected the address that `ray start --head` prints"
        ) from error
    if joined.returncode == 0:
        return
    told = joined.stdout + joined.stderr
    if "uthenticat" in told:
        raise InputError(
            f"--address: the cluster at {address!r} refuses the token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN to "
            "what its nodes were started with"
        )
    last = told.strip().rpartition("\n")[2][:300]
    raise InputError(
        f"--address: this machine cannot join the cluster at {address!r} ({last}); make it a node, without trials of "
        f"its own, with `ray start --address {address} --num-cpus 0`"
    )


def runtime_env(space: SearchSpace) -> dict[str, Any]:
    """The code that workers on all nodes run: this very code, and the modules that the search space names.

    What these import in turn, and the libraries, each node has to have installed.
    """
    modules = {"flyp_sweep", *(method.partition(":")[0].partition(".")[0] for method in space.methods if ":" in method)}
    return {"py_modules": sorted(map(source_of, modules)), "excludes": ["**/__pycache__/**"]}


def source_of(module: str) -> str:
    """The folder of a top-level package, or the file of a module. Raises InputError when there is none."""
    spec = find_spec(module)
    if spec is not None and spec.submodule_search_locations:
        return os.path.abspath(next(iter(spec.submodule_search_locations)))
    if spec is not None and spec.origin:
        return os.path.abspath(spec.origin)
    raise InputError(
        f"methods: found no module {module!r}; expected it on the Python path, beside the YAML or in the working folder"
    )


@dataclass(frozen=True)
class Needs:
    """What a node must have to run the trials of a search space: the same as the driver, by the same paths.

    `data` holds the outlines of the driver's data sets, `weights` its fingerprints, by display name: no node reads all
    images before a trial does. Checkpoints go to `store`, a URL, or, where it
    is None, to the run folder, in which `probe` is a file.
    """

    space: SearchSpace
    data_root: Path
    data: Mapping[str, str]
    weights: Mapping[str, str]
    probe: Path
    store: str | None


def check_nodes(needs: Needs, wanted: Resources) -> list[str]:
    """Ask every node that can take a trial; returns what is worth a line, but no reason to stop.

    Raises InputError when a node lacks data, weights, the run folder, a method or a library.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    able = [node for node in nodes() if node.has(wanted)]
    asked = []
    for node in able:
        there: Any = NodeAffinitySchedulingStrategy(node.id, soft=False)
        asked.append(ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=there)(look).remote(needs))
    ready, _ = ray.wait(asked, num_returns=len(asked), timeout=ANSWER_SECONDS)
    lines = []
    for node, answer in zip(able, asked, strict=True):
        found = heard(answer) if answer in ready else SILENT
        if found.trouble is not None and not left(node):
            raise InputError(f"node {node.address}: {found.trouble}")
        others = [(name, there) for name, there in found.versions.items() if there != installed(name)]
        lines += [f"node {node.address} has {name} {there}, the driver {installed(name)}" for name, there in others]
    return lines


def left(node: Node) -> bool:
    """Whether a node that may have had no time to answer is gone, or goes within seconds."""
    deadline = time.monotonic() + LEAVING_SECONDS
    while any(one.id == node.id for one in nodes()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def heard(answer: Any) -> Found:
    """What a node answered; where it could not, why."""
    import ray

    try:
        return ray.get(answer)
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1]
        return Found(f"found that nothing can be run there ({reason}); expected {LIBRARIES}", {})


def look(needs: Needs) -> Found:
    """On the node itself: is all there that its trials will ask for?"""
    versions = {name: installed(name) for name in DECISIVE}
    lacking = [name for name, there in versions.items() if there is None]
    if lacking:
        return Found(f"found no package {lacking[0]}; expected {LIBRARIES}", versions)
    try:
        return Found(missing(needs), versions)
    except InputError as error:
        return Found(str(error), versions)


def missing(needs: Needs) -> str | None:
    """What a trial would miss here, in a line. Raises InputError for files that are absent or cannot be read."""
    from flyp_sweep.trainers import methods
    from flyp_sweep.trainers.data.identity import outline
    from flyp_sweep.trainers.models import weights
    from flyp_sweep.trainers.preflight import check_data

    trouble = unkept(needs)
    if trouble is not None:
        return trouble
    for name, dataset in check_data(needs.space, needs.data_root).items():
        if outline(dataset) != needs.data[name]:
            return f"found other files of data set {name!r} in {needs.data_root} than the driver"
    for model in needs.space.models:
        if weights.fingerprint(model) != needs.weights[model.label]:
            return f"found other weights of model {model.label!r} than the driver"
        if weights.absent(model):
            return f"found no weights of model {model.label!r}; expected HF_HOME on storage that all nodes share"
    for name in needs.space.methods:
        methods.get(name)
    return None


def unkept(needs: Needs) -> str | None:
    """Why trials could not save their checkpoints here, in a line. Raises InputError where a package is lacking."""
    folder = needs.probe.parent
    if needs.store is not None:
        from flyp_sweep.trainers.data.object_store import Storage, StorageError

        try:
            Storage(needs.store).sizes()
        except StorageError as error:
            return f"{needs.store} cannot be read ({error}); expected its credentials in the environment of all nodes"
    elif not needs.probe.is_file():
        return f"found no {folder} as the driver has it; expected it on storage that all nodes share (--out)"
    elif not os.access(folder, os.W_OK):
        return f"found that {folder} cannot be written; trials save their checkpoints there"
    return None


@contextmanager
def probe(folder: Path) -> Iterator[Path]:
    """A new file in `folder`, for the length of the block: who sees it sees this very folder."""
    path = folder.resolve() / f".probe-{secrets.token_hex(8)}"
    path.touch()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
