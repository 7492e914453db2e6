"""The fits of finished trials that a run keeps, one file each: for later evaluations, for ensembles and for users.

`training.kept` converts fits to such files and back.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.trainers.checkpoints.checkpoint import Policy, Saved
from flyp_sweep.trainers.spec import REPEAT, SEARCH, TrialSpec

KEEPING_SECONDS = 600.0
"""How long a finished trial waits for the upload of its fit to a slow store."""


@dataclass(frozen=True)
class KeptFits:
    """One file per trial, written when its training ends; the driver removes files that are no longer needed.

    `policy` is the storage location, `soups` the ensembles of the space that combine search trials. If a fit could not
    be written or is lost, training the trial again restores it bit for bit.
    """

    space: SearchSpace
    policy: Policy
    soups: Collection[str]

    def wanted(self, spec: TrialSpec) -> bool:
        """Whether the fit of a trial may be needed: by ensembles, or as a model that the run keeps.

        The ensemble of a repeat needs no fit: it has the weights of its member, which is a trial of its own.
        """
        cell = spec.cell
        if spec.stage == REPEAT and self.space.weights.keep != "none":
            return bool(spec.ingredients) or cell == cell.base
        made_of_it = self.space.ensembles_of(cell.method) if cell == cell.base else ()
        return spec.stage in {SEARCH if ensemble in self.soups else REPEAT for ensemble in made_of_it}

    def write(self, spec: TrialSpec, saved: Saved) -> str | None:
        """Keep the fit of a trial; returns the reason if that fails."""
        file = self.policy.checkpoint(spec.trial_id)
        file.save(saved)
        file.flush(KEEPING_SECONDS)
        return f"its weights are not kept: {file.trouble}" if file.trouble else None

    def read(self, spec: TrialSpec) -> tuple[Saved | None, str | None]:
        """The kept fit of a trial, on the CPU, and a reason if it cannot be read. Both are None if no fit was kept."""
        file = self.policy.checkpoint(spec.trial_id)
        return file.load(), file.trouble
