"""The worker: a Ray Tune trainable that has one trial after the other run in processes of its own."""

from __future__ import annotations

from typing import Any, ClassVar

from ray import tune

from flyp_sweep.orchestrator.engine.team import Team
from flyp_sweep.orchestrator.engine.trial_process import Reply, Settings
from flyp_sweep.trainers.spec import TrialSpec


class Worker(tune.Trainable):
    """One step is one epoch; the last step brings the trial's `ending`. Nothing of a trial raises out of here.

    What Ray, and so any scheduler, gets to see of a trial is an `Epoch`: numbers of `id_val` alone. It must be set up
    at once: Ray drops a worker that is still setting up when another is free.
    """

    settings: ClassVar[Settings]

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """What `orchestrator.engine.packing` gives the trial, of one node."""
        return tune.PlacementGroupFactory([config["given"]])

    def setup(self, config: dict[str, Any]) -> None:
        self.team = Team(self.settings)
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.team.begin(TrialSpec.from_json(new_config["spec"]))
        self.ended = False
        return True

    def step(self) -> Reply:
        reply = self.team.step()
        self.ended = "ending" in reply
        return reply

    def cleanup(self) -> None:
        """The sweep is interrupted, or has no more trials: what an unfinished one has done is saved."""
        if not self.ended:
            self.team.flush()
        self.team.close()


def configured(settings: Settings) -> type[Worker]:
    """Workers with these settings.

    `tune.with_parameters` would put them into Ray's object store, and a driver that has objects in it is ended by Ray's
    C++, on the spot and without a word, when the store's server ends.
    """

    class Configured(Worker):
        pass

    Configured.settings = settings
    return Configured
