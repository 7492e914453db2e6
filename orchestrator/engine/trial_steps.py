"""A trial as steps: one process runs one trial after the other, an epoch a step, with model and data kept warm.

The process is the actor that Ray Tune starts, or one of several that train a trial together (`process_group`).
"""

from __future__ import annotations

import gc
import math
import os
import time
import traceback
from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from flyp_sweep.orchestrator.engine.settings import Reply, Settings, ending
from flyp_sweep.orchestrator.engine.stacks import Watchdog
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.checkpoints.checkpoint import Checkpoint
from flyp_sweep.trainers.data.cache import Cache
from flyp_sweep.trainers.distributed import Ranks
from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.hardware import machine
from flyp_sweep.trainers.runner import TrialRunner
from flyp_sweep.trainers.spec import DIED, DONE, FAILED, UNREADABLE, Epoch, TrialResult, TrialSpec


class TrialSteps:
    """Runs trials in this process. Once it is not `sound`, the process has to end: its memory or GPU may be broken.

    `rank` is this process among those that train a trial together, where there are several; they meet at the file
    `meeting`.
    """

    def __init__(self, settings: Settings, rank: int = 0, meeting: str = "") -> None:
        given, hang = settings.resources, settings.space.failures.hang_minutes
        torch.set_num_threads(given.threads)
        self.settings = settings
        self.rank = rank
        self.sound = True
        self.trials = 0
        self.watchdog = Watchdog(settings.stacks, None if hang is None else 60 * hang, rank)
        device = torch.device("cuda" if given.gpu else "cpu")
        self.machine = machine(device.type, given.threads, given.world)
        self.checkpoint: Checkpoint | None = None
        if given.gpu and given.world > 1:
            device = torch.device("cuda", rank)
            torch.cuda.set_device(device)
        self.runner = TrialRunner(
            settings.space,
            settings.data_root,
            device,
            given.threads,
            Cache.of_machine(),
            Ranks.join(rank, given.world, device, Path(meeting)),
            settings.weights,
            settings.predictions,
        )

    def begin(self, spec: TrialSpec, inexact: str | None = None) -> None:
        """Take up a trial, whose first epoch the next `step` trains.

        `inexact` is the operation for which torch has no deterministic code; None: there is none, as far as is known.
        """
        self._clear_memory()
        repeat_exactly(strictly=inexact is None)
        self.inexact = inexact
        self.spec = spec
        self.checkpoint = self.settings.checkpoints.checkpoint(spec.trial_id)
        self.checkpoint.keeps = self.rank == 0
        self.trial: Generator[Epoch, None, TrialResult] | None = None
        self.watchdog.begin(spec.trial_id)

    def step(self) -> Reply:
        """Train the next epoch, or do all that follows the last one. What happens to the trial is in the reply.

        The reply of an epoch also says how many `seconds` the epoch took.
        """
        with self.watchdog.watching():
            try:
                if self.trial is None:
                    self.trial = self.runner.run(self.spec, self.checkpoint)
                began = time.monotonic()
                report = asdict(next(self.trial)) | {"seconds": time.monotonic() - began}
                return report if finite(report) else self._no_number()
            except StopIteration as stop:
                result = stop.value.to_json()
                if self.inexact:
                    result["notes"] = [*result["notes"], f"another run may differ in the last bits: {self.inexact}"]
                return self._end(DONE, result=result) if finite(result) else self._no_number()
            except TrialFailed as failure:
                return self._end(FAILED, reason=str(failure))
            except InputError as error:
                return self._end(UNREADABLE, reason=str(error))
            except Exception as error:
                self.sound = not may_pass(error)
                return self._end(
                    FAILED if self.sound else DIED,
                    reason=f"{type(error).__name__}: {error}",
                    log=traceback.format_exc(),
                    inexact=lacks_exact_code(error),
                )

    def flush(self) -> None:
        """Save the trial under way. To be called between steps."""
        if self.checkpoint is not None:
            self.checkpoint.flush()

    def close(self) -> None:
        """Run no more trials."""
        self.watchdog.end()
        gc.unfreeze()

    def _no_number(self) -> Reply:
        return self._end(FAILED, reason="a score, loss or result of the trial is not finite")

    def _end(self, status: str, **more: Any) -> Reply:
        assert self.checkpoint is not None
        seconds = self.checkpoint.seconds
        self.trial = self.checkpoint = None
        self.watchdog.end()
        return ending(status, seconds, final=self.sound, machine=self.machine, **more)

    def _clear_memory(self) -> None:
        """Let go of what the last trial left: a trained model is part of reference cycles.

        After the first trial all that stays is imported and loaded. Frozen, it is no part of later collections.
        """
        self.trial = None
        gc.collect()
        self.trials += 1
        if self.trials == 2:
            gc.freeze()
        if self.runner.device.type == "cuda":
            torch.cuda.empty_cache()


def repeat_exactly(*, strictly: bool) -> None:
    """Have torch compute the same bits each time; to be called before a GPU multiplies matrices.

    Where torch has no deterministic code, it raises a RuntimeError. If not `strictly`, it warns instead; but then the
    attention of a GPU is inexact too, although torch has deterministic code for it.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else matrix products on a GPU may differ
    torch.use_deterministic_algorithms(True, warn_only=not strictly)


def lacks_exact_code(error: Exception) -> str | None:
    """The operation for which torch has no deterministic code, if the error says so."""
    reason, asked, _ = str(error).partition(", but you set 'torch.use_deterministic_algorithms(True)'")
    return reason if asked else None


def finite(value: Any) -> bool:
    """Whether no number in a JSON value is NaN or infinite."""
    if isinstance(value, dict | list):
        return all(map(finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)


def may_pass(error: Exception) -> bool:
    """Whether another attempt, in another process, may not meet this error: an I/O error, memory, a broken GPU."""
    return isinstance(error, OSError | MemoryError | torch.OutOfMemoryError | torch.AcceleratorError)
