"""The worker: a Ray Tune trainable that runs one trial after the other with model and data kept warm."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Generator
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune

from search_spaces.errors import InputError
from trainers.failure import TrialFailed
from trainers.spec import DONE, FAILED, UNREADABLE, Epoch, TrialResult, TrialSpec

if TYPE_CHECKING:
    from trainers.runner import TrialRunner


class Worker(tune.Trainable):
    """One step is one epoch; the last step brings the trial's `ending`. Nothing of a trial raises out of here.

    What Ray, and so any scheduler, gets to see of a trial is an `Epoch`: numbers of `id_val` alone.
    """

    def setup(  # type: ignore[override]  # tune.with_parameters passes the rest by keyword
        self, config: dict[str, Any], space: dict[str, Any], data_root: str, threads: int, device: str
    ) -> None:
        self.space = space
        self.data_root = data_root
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
        self.running: Generator[Epoch, None, TrialResult] | None = None
        self.began = time.time()

    def step(self) -> dict[str, Any]:
        try:
            if self.running is None:
                self.running = self.runner.run(self.spec)
            return asdict(next(self.running))
        except StopIteration as end:
            return self._end(DONE, result=end.value.to_json())
        except TrialFailed as failure:
            return self._end(FAILED, reason=str(failure))
        except InputError as error:
            return self._end(UNREADABLE, reason=str(error))
        except Exception as error:  # whatever went wrong belongs to this trial; the worker goes on with the next
            return self._end(FAILED, reason=f"{type(error).__name__}: {error}", log=traceback.format_exc())

    def _end(self, status: str, **more: Any) -> dict[str, Any]:
        self.running = None
        ending = {"status": status, "seconds": time.time() - self.began, **more}
        return {"done": True, "ending": json.dumps(ending)}  # text: Ray flattens nested results
