"""The nodes of a Ray cluster: what reaches them, and whether each can run trials, asked before there are any."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from flyp_sweep.orchestrator.engine.work import Work
from flyp_sweep.orchestrator.protocol.plan import CellPlan
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.model import Resources, SearchSpace
from flyp_sweep.search_spaces.plugin_path import module_of, plugins_of

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
    if address != "auto":
        knock(address)
    check_joins(address)


def knock(address: str) -> None:
    """Raise InputError for an address at which nobody listens, and for one of Ray's client (`ray://`)."""
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
        "its own, with `ray start --address HOST:PORT --num-cpus 0`"
    )


def runtime_env(space: SearchSpace) -> dict[str, Any]:
    """The code that workers on all nodes run: this very code, and the modules that the search space names.

    What these import in turn, and the libraries, each node has to have installed.
    """
    names = {"flyp_sweep", *map(module_of, plugins_of(space))}
    modules = [import_module(name) for name in sorted(names)]
    sources = [module.__path__[0] if hasattr(module, "__path__") else str(module.__file__) for module in modules]
    return {"py_modules": [os.path.abspath(source) for source in sources], "excludes": ["**/__pycache__/**"]}


def check_nodes(work: Work, wanted: Resources) -> list[str]:
    """Ask every node that can take a trial; returns what is worth a line, but no reason to stop.

    Raises InputError when a node lacks data, weights, the run folder, a method or a library.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    outlines = outlines_of(work.space, work.data_root)
    asked, lines = {}, []
    with tempfile.NamedTemporaryFile(prefix=".probe-", dir=work.folder.resolve()) as probe:
        for node in nodes():
            if node.has(wanted):
                there: Any = NodeAffinitySchedulingStrategy(node.id, soft=False)
                ask = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=there)(look)
                asked[node] = ask.remote(
                    work.space, work.plans, outlines, work.data_root, work.store or Path(probe.name)
                )
        deadline = time.monotonic() + ANSWER_SECONDS
        for node, answer in asked.items():
            try:
                versions = ray.get(answer, timeout=max(0.0, deadline - time.monotonic()))
            except ray.exceptions.RayError as error:
                time.sleep(LEAVING_SECONDS)
                if any(one.id == node.id for one in nodes()):
                    raise InputError(f"node {node.address}: {reason_of(error)}") from None
                continue
            others = [(name, there) for name, there in versions.items() if there != installed(name)]
            lines += [f"node {node.address} has {name} {there}, the driver {installed(name)}" for name, there in others]
    return lines


def reason_of(error: Exception) -> str:
    """Why a node cannot run trials, from what Ray raises in place of its answer."""
    import ray

    if isinstance(cause := getattr(error, "cause", None), InputError):
        return str(cause)
    if isinstance(error, ray.exceptions.GetTimeoutError):
        return f"found no answer within {ANSWER_SECONDS:g} s; expected it to start a process and look around"
    last = str(error).strip().rpartition("\n")[2]
    return f"found that nothing can be run there ({last}); expected {LIBRARIES}"


def outlines_of(space: SearchSpace, data_root: Path) -> dict[str, str]:
    """The outline of each data set, by name: nodes compare labels and sizes of files, for content takes long to read.

    Raises InputError for files that are absent.
    """
    from flyp_sweep.trainers.data.identity import outline
    from flyp_sweep.trainers.preflight import check_data

    return {name: outline(dataset) for name, dataset in check_data(space, data_root).items()}


def look(
    space: SearchSpace, plans: Sequence[CellPlan], outlines: Mapping[str, str], data_root: Path, place: Path | str
) -> dict[str, str | None]:
    """On the node itself: the versions of its packages.

    Raises InputError for what its trials would miss: they need what the driver has, by the same paths. Checkpoints go
    to `place`, the URL of a store or a new file in the run folder: who sees the file sees this very folder.
    """
    versions = {name: installed(name) for name in DECISIVE}
    for name, there in versions.items():
        if there is None:
            raise InputError(f"found no package {name}; expected {LIBRARIES}")
    check_folder(place)

    from flyp_sweep.trainers.hyper_parameters import hyper_parameters
    from flyp_sweep.trainers.models import weights

    for name, outline in outlines_of(space, data_root).items():
        if outline != outlines[name]:
            raise InputError(f"found other files of data set {name!r} in {data_root} than the driver")
    fingerprints = {plan.cell.model: plan.model.fingerprint for plan in plans}
    for model in space.models:
        if weights.fingerprint(model) != fingerprints[model.label]:
            raise InputError(f"found other weights of model {model.label!r} than the driver")
        if weights.absent(model):
            raise InputError(
                f"found no weights of model {model.label!r}; expected HF_HOME on storage that all nodes share"
            )
    for name in space.method_names:
        hyper_parameters(space, name)
    return versions


def check_folder(place: Path | str) -> None:
    """Raise InputError when trials could not save their checkpoints here; see `look`."""
    if isinstance(place, str):
        from flyp_sweep.trainers.data.object_store import Storage, StorageError

        try:
            Storage(place).sizes()
        except StorageError as error:
            raise InputError(
                f"{place} cannot be read ({error}); expected its credentials in the environment of all nodes"
            ) from None
    elif not place.is_file():
        raise InputError(
            f"found no {place.parent} as the driver has it; expected it on storage that all nodes share (--out)"
        )
    elif not os.access(place.parent, os.W_OK):
        raise InputError(f"found that {place.parent} cannot be written; trials save their checkpoints there")


def installed(name: str) -> str | None:
    """The version of a package; None where it is absent."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
