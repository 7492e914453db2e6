"""The weights of finished trials, kept while ensembles are to be made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flyp_sweep.search_spaces.ensembles import SOUPS
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.trainers.checkpoints.checkpoint import Policy, Saved
from flyp_sweep.trainers.spec import REPEAT, SEARCH, TrialSpec

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class MemberWeights:
    """A file per trial, written when it ends and removed by the driver; `policy` says where.

    A help and no more: weights that could not be written, or are gone, come back bit for bit from training the trial
    again.
    """

    space: SearchSpace
    policy: Policy

    def keep(self, spec: TrialSpec, state: Mapping[str, torch.Tensor]) -> str | None:
        """Write the weights of a trial if an ensemble is made of it; returns why that could not be done."""
        stages = {stage_of(ensemble) for ensemble in self.space.ensembles_of(spec.cell.method)}
        if spec.stage not in stages:
            return None
        file = self.policy.checkpoint(spec.trial_id)
        file.save(Saved(state, {}))
        file.flush()
        return f"its weights are not kept for ensembles: {file.trouble}" if file.trouble else None

    def find(self, spec: TrialSpec) -> dict[str, torch.Tensor] | None:
        """The weights of a trial, on the CPU; None when they are not there, or cannot be read."""
        saved = self.policy.checkpoint(spec.trial_id).load()
        return None if saved is None else dict(saved.tensors)


def stage_of(ensemble: str) -> str:
    """The stage of the trials that an ensemble is made of."""
    return SEARCH if ensemble in SOUPS else REPEAT
