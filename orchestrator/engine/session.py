"""Ray: started quietly on this machine, or joined where it runs, and one Tune run over it."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from flyp_sweep.orchestrator.engine import private_ray
from flyp_sweep.orchestrator.engine.checks import check_elsewhere
from flyp_sweep.orchestrator.engine.forked import Lease
from flyp_sweep.orchestrator.engine.nodes import Needs, check_address, look_around, nodes, probe, runtime_env
from flyp_sweep.orchestrator.engine.trial_process import PRELOADED, Settings
from flyp_sweep.orchestrator.protocol.plan import CellPlan
from flyp_sweep.search_spaces.complaints import one_line
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.model import Resources, SearchSpace
from flyp_sweep.trainers.preflight import Checked, check
from flyp_sweep.trainers.training.checkpoints import Policy

SCRATCH = "flyp-sweep-driver-"

TRIALS_WAITING = 8
"""Trials that Ray Tune knows of beyond those that run: so many workers may start at once."""

SERVERS = ("raylet", "gcs_server")
SERVERS_SECONDS = 1.0
"""Ray's processes that it cannot do without, and how often it is looked whether they are there."""

OBJECT_STORE_BYTES = 100 * 2**20
"""Trials pass only small results through Ray's object store."""


def quiet_environment(*, local: bool) -> None:
    """Ray without usage reports and without its own files per trial; what the user has set stays."""
    defaults = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AIR_NEW_OUTPUT": "0",
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        # Workers that Ray has ready from its start are for the first trials, which may come a while later.
        "RAY_preload_python_modules": "ray.tune",
        "RAY_idle_worker_killing_time_threshold_ms": "600000",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_DISABLE_SIGINT_HANDLER": "1",  # ours hears SIGTERM too
        "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # the ledger has them, in a line each
        "TUNE_MAX_PENDING_TRIALS_PG": str(TRIALS_WAITING),
        "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
        "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
        # Ray would otherwise write a token into the home folder; a private head on 127.0.0.1 needs none.
        **({"RAY_AUTH_MODE": "disabled"} if local else {}),
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


class Session:
    """Ray for one sweep: a private one on this machine, or the cluster at `address`; and this machine's fork server.

    Both take seconds to start, so they do it while the driver reads what there is and imports what it will need.
    """

    def __init__(self, space: SearchSpace, address: str | None) -> None:
        self.space = space
        self.address = address
        self.fork_server = f"{os.getpid()}-{secrets.token_hex(8)}"
        """The name of the fork servers of this sweep, which no other has."""
        self._lease: Lease | None = None
        self._connecting: Future[None] | None = None
        self._to_close = ExitStack()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm(self, *, start: bool) -> None:
        """Begin with what takes seconds of imports: Ray Tune here, what trials need in the fork server.

        With `start`, Ray too: it is sure that there will be trials.
        """
        if self.address is not None:
            check_address(self.address)
        if "torch" not in sys.modules:  # else the checks need no fork server, and those that fail should start none
            self._start_fork_server()
        quiet_environment(local=self.address is None)
        import ray.tune  # noqa: F401  # here, so that nobody meets it half-imported by the thread

        if self.address is None:
            private_ray.use_workers_at_hand()
        if start:
            self.start()

    def check(self, data_root: Path, allow_incomplete: bool) -> Checked:
        """What `trainers.preflight.check` finds and raises, without the seconds of its imports where that can be."""
        if self._lease is None:
            return check(self.space, data_root, allow_incomplete)
        return check_elsewhere(self._lease, self.space, data_root, allow_incomplete)

    def start(self) -> None:
        """Have Ray start, or joined, unless that has been asked before."""
        if self._connecting is None:
            self._start_fork_server()
            pool = self._to_close.enter_context(ThreadPoolExecutor(1, "ray"))
            self._connecting = pool.submit(connect, self.address, runtime_env(self.space) if self.address else None)
            self._to_close.callback(disconnect, self._connecting)

    def _start_fork_server(self) -> None:
        """Have this machine's fork server import, unless it does or it is not known yet what trials will get."""
        wanted = self.space.resources or Resources(cpu=1)
        known = self.address is None and (self.space.resources is not None or not may_have_gpu())
        if known and self._lease is None:
            # As Ray sets it for a worker. It is read at import, and what the driver prints is not for others to write.
            variables = {"OMP_NUM_THREADS": str(wanted.threads)}
            with suppress(OSError):  # the workers will meet it too, and say so
                self._lease = Lease(self.fork_server, PRELOADED, variables, quiet=True)
                self._to_close.enter_context(closing(self._lease))

    @contextmanager
    def connected(self, lost: Callable[[str], None]) -> Generator[None]:
        """Ray for the length of the block, which ends the session. Raises InputError when no cluster answers.

        When a server of a private Ray dies, `lost` is told in a thread: Tune would wait for it for ever.
        """
        self.start()
        assert self._connecting is not None
        over = threading.Event()
        try:
            self._connecting.result()
            if self.address is None:
                threading.Thread(target=watch_servers, args=(over, lost), name="ray-watch", daemon=True).start()
            yield
        finally:
            over.set()
            self.close()

    def look_around(self, data_root: Path, plans: Sequence[CellPlan], run_folder: Path, store: str | None) -> list[str]:
        """What is worth a line about the nodes of a cluster that is joined; nothing about this machine alone.

        Raises InputError when a node lacks what trials need (see `orchestrator.engine.nodes`).
        """
        if self.address is None:
            return []
        data = {plan.cell.dataset: plan.data for plan in plans}
        weights = {plan.cell.model: plan.weights for plan in plans}
        with probe(run_folder) as seen:
            needs = Needs(self.space, data_root, data, weights, seen, store)
            return look_around(needs, resources_per_trial(self.space))

    def close(self) -> None:
        """End Ray, or leave the cluster, and let go of the fork server."""
        self._to_close.close()


def connect(address: str | None, environment: dict[str, Any] | None) -> None:
    """Start a private Ray, or join the cluster at `address`, whose workers get this runtime `environment`.

    Raises InputError when none answers there.
    """
    import ray

    # Ray would end the driver wherever it happens to be, amid a lock too; `interrupt` hears the signal.
    ray._private.utils.set_sigterm_handler = lambda handler: None
    # What Ray starts gets a group of its own: a signal to the driver's is for the driver, which ends Ray in good order.
    die_with_driver = ray._private.utils.set_kill_on_parent_death_linux

    def in_own_group() -> None:
        os.setpgrp()
        die_with_driver()

    ray._private.utils.set_kill_on_parent_death_linux = in_own_group
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address is None:
            private_ray.start_less()
            ray.init(
                address="local",  # also where RAY_ADDRESS names a cluster, as in jobs of Ray's
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                _node_ip_address="127.0.0.1",
                _skip_env_hook=True,
                **quiet,
            )
        else:
            ray.init(address=address, runtime_env=environment, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        if address is None:
            raise
        raise InputError(
            f"--address: found no Ray cluster at {address!r} that can be joined ({one_line(str(error))[:200]}); "
            "start one with `ray start --head`"
        ) from error
    except OSError as error:
        if "AF_UNIX" not in str(error):
            raise
        raise InputError(
            f"RAY_TMPDIR: found {os.environ.get('RAY_TMPDIR')!r}; expected a path short enough for Ray's sockets"
        ) from error
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    # Ray prints a paragraph for every dead worker, whatever `log_to_driver` says; ours is a line with the trial's name.
    ray._private.worker.print_to_stdstream = lambda *_, **__: None


def disconnect(connecting: Future[None]) -> None:
    """Undo `connect` once it is over, however that was."""
    import ray

    if connecting.exception() is None:
        ray.shutdown()


def watch_servers(over: threading.Event, lost: Callable[[str], None]) -> None:
    """Tell `lost` once a server of the private Ray has ended, unless it is `over` before."""
    import ray

    node: Any = ray._private.worker._global_node
    while not over.wait(SERVERS_SECONDS):
        dead = [name for name, _ in node.dead_processes() if name in SERVERS]
        if dead:
            if not over.wait(SERVERS_SECONDS):  # in which a signal that was for this process as well is heard
                lost(f"Ray's {dead[0]} has ended (killed, or see its logs in {node.get_session_dir_path()}/logs)")
            return


def resources_per_trial(space: SearchSpace) -> Resources:
    """What a trial gets of one node: as the YAML says, else one GPU and its share of the cores, else one core."""
    there = nodes()
    shares = [node.cpus // node.gpus for node in there if node.gpus]
    wanted = space.resources or Resources(cpu=max(1, min(shares, default=1)), gpu=1.0 if shares else 0.0)
    if not any(node.has(wanted) for node in there):
        has = "; ".join(sorted({f"{node.cpus:g} CPUs and {node.gpus:g} GPUs" for node in there}))
        raise InputError(
            f"{space.source}: resources: found cpu {wanted.cpu:g}, gpu {wanted.gpu:g} per trial; expected what one "
            f"node has: {has}"
        )
    return wanted


def may_have_gpu() -> bool:
    """Whether there is a driver for GPUs. Torch would know for sure, but takes seconds to import."""
    return any(Path("/dev", name).exists() for name in ("nvidiactl", "kfd", "dxg"))


def tune(
    space: SearchSpace,
    data_root: Path,
    fork_server: str,
    policy: Policy,
    weights: Policy,
    searcher: Any,
    scheduler: Any,
    stop: Callable[[], bool],
) -> None:
    """Run all trials that `searcher` hands out; returns when it has no more, or when `stop` says so.

    Trials that are then under way are saved as `policy` says where, if they can be within seconds. `weights` says where
    those of trials are kept that ensembles are made of.
    """
    from ray import tune as ray_tune

    from flyp_sweep.orchestrator.engine.stopper import OnRequest
    from flyp_sweep.orchestrator.engine.trainable import configured

    resources = resources_per_trial(space)
    hang = space.failures.hang_minutes
    settings = Settings(
        space=space.model_dump(mode="json", exclude_none=True),
        data_root=str(data_root),
        policy=policy,
        threads=resources.threads,
        device="cuda" if resources.gpu else "cpu",
        hang_seconds=None if hang is None else 60 * hang,
        fork_server=fork_server,
        processes=resources.world,
        weights=weights,
    )
    clear_scratch()
    prefix = f"{SCRATCH}{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as scratch:
        ray_tune.Tuner(
            configured(settings),
            tune_config=ray_tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler,
                num_samples=-1,
                reuse_actors=True,
                trial_name_creator=_name,
                trial_dirname_creator=_name,
            ),
            run_config=ray_tune.RunConfig(
                name="tune",
                storage_path=scratch,
                verbose=0,
                stop=OnRequest(stop),
                # A trial is started again by the searcher, after a pause, and as often as the space says.
                failure_config=ray_tune.FailureConfig(max_failures=0),
                checkpoint_config=ray_tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()


def clear_scratch() -> None:
    """Remove what drivers that were killed have left of Tune's files, which nobody reads."""
    for path in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*-*"):
        pid = path.name.removeprefix(SCRATCH).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists() and Path("/proc/self").exists():
            shutil.rmtree(path, ignore_errors=True)


def _name(trial: Any) -> str:
    return str(trial.trial_id)
