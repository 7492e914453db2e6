"""The worker: the actor that Ray Tune starts, in which one trial runs after the other."""

from __future__ import annotations

import os
import sys
from typing import Any, ClassVar

from ray import tune

from flyp_sweep.orchestrator.engine.settings import Reply, Settings, ending_in
from flyp_sweep.trainers.spec import TrialSpec


class Worker(tune.Trainable):
    """One step is one epoch; the last step brings the trial's ending. No failure of a trial raises out of here.

    What Ray, and so any scheduler, sees of a trial is an `Epoch`: numbers of `id_val` alone. `setup` is quick, because
    Ray ends a worker that is still setting up when another is free: imports and models wait for the first step.
    """

    settings: ClassVar[Settings]

    def setup(self, config: dict[str, Any]) -> None:
        self.steps: Any = None
        if self.settings.python_path is not None:
            sys.path[:] = self.settings.python_path
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.spec = TrialSpec.from_json(new_config["spec"])
        self.begun = self.ended = False
        return True

    def step(self) -> Reply:
        """Train an epoch.

        A worker that had better not go on (it ran out of memory, say) gives an ending that is not final. Ray calls it
        once more, and it ends: so the next trial gets a new worker.
        """
        if self.ended:
            os._exit(1)
        if self.steps is None:
            self.steps = self._steps()
        if not self.begun:
            self.steps.begin(self.spec)
            self.begun = True
        reply: Reply = self.steps.step()
        ended = ending_in(reply)
        if ended and ended.get("inexact"):
            self.steps.begin(self.spec, ended["inexact"])
            reply = self.steps.step()
            ended = ending_in(reply)
        self.ended = ended is not None
        return reply

    def cleanup(self) -> None:
        """The sweep is interrupted, or has no more trials: save what an unfinished one has done."""
        if self.steps is not None:
            self.steps.flush()
            self.steps.close()

    def _steps(self) -> Any:
        if self.settings.resources.world > 1:
            from flyp_sweep.orchestrator.engine.process_group import ProcessGroup

            return ProcessGroup(self.settings)
        from flyp_sweep.orchestrator.engine.trial_steps import TrialSteps

        return TrialSteps(self.settings)


def configured(settings: Settings) -> type[Worker]:
    """Workers with these settings.

    `tune.with_parameters` would put them into Ray's object store, and Ray's C++ ends a driver that has objects there,
    on the spot and without a word, when the store's server ends.
    """

    class Configured(Worker):
        pass

    Configured.settings = settings
    return Configured
