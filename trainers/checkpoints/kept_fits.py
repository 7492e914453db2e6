"""The fits of finished trials that a run keeps, a file each: for later evaluations, for ensembles and for users.

What is in such a file, and how a fit comes back from it, is in `training.kept`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.trainers.checkpoints.checkpoint import Policy, Saved
from flyp_sweep.trainers.spec import REPEAT, SEARCH, TrialSpec

KEEPING_SECONDS = 600.0
"""What a trial that ends waits for its fit to arrive in a store that takes it, however slowly."""


@dataclass(frozen=True)
class KeptFits:
    """A file per trial, written when its training ends; the driver removes those that nobody wants.

    `policy` says where they lie, `soups` which ensembles of the space are made of its searches. A fit that could not be
    written, or is gone, comes back bit for bit from training the trial again.
    """

    space: SearchSpace
    policy: Policy
    soups: Collection[str]

    def wanted(self, spec: TrialSpec) -> bool:
        """Whether the fit of a trial may be asked for: by ensembles, or as a model that the run keeps.

        An ensemble of a repeat has the weights of its member, which is a trial of its own.
        """
        cell = spec.cell
        if spec.stage == REPEAT and self.space.weights.keep != "none":
            return bool(spec.ingredients) or cell == cell.base
        made_of_it = self.space.ensembles_of(cell.method) if cell == cell.base else ()
        return spec.stage in {SEARCH if ensemble in self.soups else REPEAT for ensemble in made_of_it}

    def write(self, spec: TrialSpec, saved: Saved) -> str | None:
        """Keep the fit of a trial; returns why that could not be done."""
        file = self.policy.checkpoint(spec.trial_id)
        file.save(saved)
        file.flush(KEEPING_SECONDS)
        return f"its weights are not kept: {file.trouble}" if file.trouble else None

    def read(self, spec: TrialSpec) -> tuple[Saved | None, str | None]:
        """What was kept of the fit of a trial, on the CPU: None when it is not there, or, as the text says, why not."""
        file = self.policy.checkpoint(spec.trial_id)
        return file.load(), file.trouble
