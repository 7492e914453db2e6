"""The engine: one Ray Tune run over a private Ray on this machine, or over the Ray cluster at an address."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as NoAnswer
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flyp_sweep.orchestrator.engine.log_stream import LogStream
from flyp_sweep.orchestrator.engine.machine import check_machine, faults_told, session_removed
from flyp_sweep.orchestrator.engine.nodes import check_address, check_nodes, runtime_env
from flyp_sweep.orchestrator.engine.resources import resources_per_trial, trials_at_once
from flyp_sweep.orchestrator.engine.settings import Settings
from flyp_sweep.orchestrator.engine.work import Work
from flyp_sweep.search_spaces.model import Resources

log = logging.getLogger(__name__)

TRIALS_WAITING = 8
"""Trials that Ray Tune knows of beyond those that run: so many workers may start at once."""

LISTEN_SECONDS = 0.05
WATCH_SECONDS = 1.0
SILENCE_SECONDS = 30.0
"""How often the driver looks whether Ray's servers live, and how long these may take to answer."""

OBJECT_STORE_BYTES = 100 * 2**20
"""Trials pass only small results through Ray's object store."""

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # ours hears SIGTERM too
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # the ledger has them, in a line each
    "TUNE_MAX_PENDING_TRIALS_PG": str(TRIALS_WAITING),
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
"""Ray without usage reports and without files of its own per trial; what the user has set stays."""

PRIVATE_ENVIRONMENT = {
    # Ray would otherwise write a token into the home folder; a private Ray that listens on 127.0.0.1 needs none.
    "RAY_AUTH_MODE": "disabled",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # no cluster, so Ray listens on 127.0.0.1 alone
}


class TuneEngine:
    """Runs a sweep's trials in Ray Tune's actors. `address` None: on this machine alone (see `work.Engine`)."""

    def __init__(self, address: str | None) -> None:
        self.address = address

    def check(self) -> None:
        """Raise InputError when the cluster at the address cannot be joined."""
        if self.address is not None:
            check_address(self.address)
        else:
            check_machine()

    def run(self, work: Work) -> None:
        """Run all trials; see `work.Engine`.

        Raises InputError when no cluster answers, or when a node of it lacks what trials need.
        """
        for name, value in (ENVIRONMENT if self.address else ENVIRONMENT | PRIVATE_ENVIRONMENT).items():
            os.environ.setdefault(name, value)
        environment = runtime_env(work.space) if self.address else None
        work.say(f"joining the Ray cluster at {self.address}" if self.address else "starting Ray and its workers")
        tidied = session_removed() if self.address is None else contextlib.nullcontext()
        with tidied, faults_told(work.folder / "log.txt"), connected(self.address, environment, work.listen):
            watching = watched(work.give_up) if self.address is None else contextlib.nullcontext()
            with watching, contextlib.redirect_stdout(LogStream(log)):  # Ray prints a paragraph for each dead worker
                resources = resources_per_trial(work.space)
                for line in check_nodes(work, resources) if self.address else ():
                    work.warn(line)
                self._tune(work, resources)

    def _tune(self, work: Work, resources: Resources) -> None:
        from ray import tune

        from flyp_sweep.orchestrator.engine.retries import Retries
        from flyp_sweep.orchestrator.engine.scheduler import CellScheduler, OnRequest
        from flyp_sweep.orchestrator.engine.searcher import ProtocolSearcher
        from flyp_sweep.orchestrator.engine.trainable import configured

        with tempfile.TemporaryDirectory(prefix="flyp-sweep-driver-", ignore_cleanup_errors=True) as scratch:
            shared = None if work.store else str(work.checkpoints.folder.resolve())  # by the nodes of a cluster
            stacks = shared if self.address else str(Path(scratch, "stacks"))
            path = None if self.address else tuple(sys.path)
            settings = Settings(
                work.space, work.data_root, work.checkpoints, work.weights, work.predictions, resources, stacks, path
            )
            given = tune.PlacementGroupFactory([{"CPU": resources.cpu, "GPU": resources.gpu}])
            tune.Tuner(
                tune.with_resources(configured(settings), given),
                tune_config=tune.TuneConfig(
                    search_alg=ProtocolSearcher(work.protocol, work.recorder, Retries(work.space.failures), stacks),
                    scheduler=CellScheduler(work.space, work.recorder, trials_at_once(resources)),
                    num_samples=-1,
                    reuse_actors=True,
                    trial_name_creator=_name,
                    trial_dirname_creator=_name,
                ),
                run_config=tune.RunConfig(
                    name="tune",
                    storage_path=scratch,
                    verbose=0,
                    stop=OnRequest(work.stop),
                    # The searcher starts a trial again, after a pause, and as often as the space says.
                    failure_config=tune.FailureConfig(max_failures=0),
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                ),
            ).fit()


@contextmanager
def connected(address: str | None, environment: dict[str, Any] | None, listen: Callable[[], None]) -> Generator[None]:
    """A private Ray for the length of the block, or the cluster at `address`, whose workers get `environment`.

    Ray connects in a thread, since it would set a handler of its own for SIGTERM in the main one. Its C++ does so
    nevertheless, at some moment of its start, so `listen` sets ours again and again. The thread lives as long as the
    block: Linux kills Ray's servers with the thread that has started them.
    """
    import ray.tune

    how: dict[str, Any] = {"address": address, "runtime_env": environment}
    if address is None:  # "local" also where RAY_ADDRESS names a cluster, as in Ray's jobs
        how = {"address": "local", "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    ray_log = logging.getLogger("ray")
    log_as_we_do(ray_log)
    ray_log.setLevel(logging.ERROR)  # it warns that a thread sets no handler for SIGTERM
    # Ray's servers and workers inherit this: a lost terminal tells the whole process group, and they are still needed.
    with ThreadPoolExecutor(1, "ray", signal.pthread_sigmask, (signal.SIG_BLOCK, {signal.SIGHUP})) as pool:
        connecting = pool.submit(ray.init, log_to_driver=False, configure_logging=False, **how)
        while not connecting.done():
            wait([connecting], LISTEN_SECONDS)
            listen()
        connecting.result()
        ray_log.setLevel(logging.WARNING)
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def watched(give_up: Callable[[str], None]) -> Generator[None]:
    """Inside the block, call `give_up` in a thread once the servers of the private Ray have died.

    Ray Tune would wait for them without end.
    """
    over = threading.Event()

    def watch() -> None:
        with ThreadPoolExecutor(1, "ray-nodes") as asking:
            while not over.wait(WATCH_SECONDS):
                if not answers(asking) and not over.wait(WATCH_SECONDS):  # a signal for this process may be on its way
                    give_up("Ray's servers have ended (killed, or see Ray's logs in the folder session_latest/logs)")
                    return

    threading.Thread(target=watch, name="ray-watch", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def answers(asking: ThreadPoolExecutor) -> bool:
    """Whether Ray's servers answer, and this machine is still a live node."""
    import ray

    try:
        return any(node["Alive"] for node in asking.submit(ray.nodes).result(SILENCE_SECONDS))
    except NoAnswer:
        return False
    except Exception:
        log.info("Ray is being shut down, or answers with an error", exc_info=True)
        return not ray.is_initialized()


def log_as_we_do(library: logging.Logger) -> None:
    """Have a library's lines go where all others go, and not to a stderr handler of its own."""
    for handler in list(library.handlers):
        library.removeHandler(handler)
    library.propagate = True


def _name(trial: Any) -> str:
    return str(trial.trial_id)
