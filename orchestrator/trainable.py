"""The worker: a Ray Tune trainable that runs one trial after the other with model and data kept warm."""

from __future__ import annotations

import faulthandler
import json
import time
import traceback
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune

from orchestrator.running import Running
from search_spaces.errors import InputError
from trainers.checkpoints import Checkpoint, Policy
from trainers.failure import TrialFailed
from trainers.spec import DONE, FAILED, UNREADABLE, Epoch, TrialResult, TrialSpec

if TYPE_CHECKING:
    from trainers.runner import TrialRunner


class Worker(tune.Trainable):
    """One step is one epoch; the last step brings the trial's `ending`.

    What Ray, and so any scheduler, gets to see of a trial is an `Epoch`: numbers of `id_val` alone. Only what another
    process may be spared raises out of here and ends this one: a disk or network that failed, a broken GPU.
    """

    def setup(  # type: ignore[override]  # tune.with_parameters passes the rest by keyword
        self,
        config: dict[str, Any],
        space: dict[str, Any],
        data_root: str,
        running: Running,
        policy: Policy,
        hang_seconds: float | None,
        threads: int,
        device: str,
    ) -> None:
        self.space = space
        self.data_root = data_root
        self.running = running
        self.policy = policy
        self.hang_seconds = hang_seconds
        self.threads = threads
        self.device = device
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config)
        return True

    @cached_property
    def runner(self) -> TrialRunner:
        """Made by the first step, not by `setup`: Ray drops a worker that is still setting up when another is free."""
        import torch

        from search_spaces.loading import from_mapping
        from trainers.runner import TrialRunner

        torch.set_num_threads(self.threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a debugging aid that costs every allocation
        device = torch.device(self.device)
        return TrialRunner(from_mapping(self.space), Path(self.data_root), device, self.threads)

    def _begin(self, config: dict[str, Any]) -> None:
        self.spec = TrialSpec.from_json(config["spec"])
        self.checkpoint = Checkpoint(self.policy, self.spec.trial_id)
        self.trial: Generator[Epoch, None, TrialResult] | None = None
        self.began = time.time()

    def step(self) -> dict[str, Any]:
        with self._watched():
            try:
                if self.trial is None:
                    self.trial = self.runner.run(self.spec, self.checkpoint)
                return asdict(next(self.trial))
            except StopIteration as end:
                return self._end(DONE, result=end.value.to_json())
            except TrialFailed as failure:
                return self._end(FAILED, reason=str(failure))
            except InputError as error:
                return self._end(UNREADABLE, reason=str(error))
            except Exception as error:
                if may_pass(error):
                    raise
                return self._end(FAILED, reason=f"{type(error).__name__}: {error}", log=traceback.format_exc())

    def cleanup(self) -> None:
        """The sweep is interrupted, or has no more trials: what an unfinished one has done is saved."""
        if self.trial is not None:
            self.checkpoint.flush()

    def _end(self, status: str, **more: Any) -> dict[str, Any]:
        self.trial = None
        ending = {"status": status, "seconds": time.time() - self.began, **more}
        return {"done": True, "ending": json.dumps(ending)}  # text: Ray flattens nested results

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Ends this process, with the stacks of its threads in a file, when the block takes longer than allowed.

        The interpreter's own watchdog needs no thread that could hang too, and breaks off a call that never returns.
        """
        if self.hang_seconds is None:
            yield
            return
        path = self.running.trace_path(self.spec.trial_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as trace:
            faulthandler.dump_traceback_later(self.hang_seconds, exit=True, file=trace)
            try:
                yield
            finally:
                faulthandler.cancel_dump_traceback_later()
        path.unlink(missing_ok=True)


def may_pass(error: Exception) -> bool:
    """Whether another attempt, in another process, may not meet this error: an I/O error, memory, a broken GPU."""
    import torch

    return isinstance(error, OSError | MemoryError | torch.AcceleratorError)
