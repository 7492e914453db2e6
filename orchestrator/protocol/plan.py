"""From a search space to what its cells will run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.distributions import Distribution
from flyp_sweep.search_spaces.ensembles import SOUPS
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.trainers.data.identity import Identity
from flyp_sweep.trainers.preflight import Checked, Traits
from flyp_sweep.trainers.spec import REPEAT, SEARCH, TrialSpec


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trial of a search by its id, configuration and seed: a search may have 100,000, and few are under way."""

    trial_id: str
    hparams: Mapping[str, Any]
    seed: int


@dataclass(frozen=True)
class CellPlan:
    """What one cell searches and repeats, and how its trials are specified."""

    cell: Cell
    space: SearchSpace
    searched: Mapping[str, Distribution]
    data: Identity
    weights: str
    metric: str
    images: Mapping[str, int]
    """Split role -> number of images that a trial of this cell sees of it."""
    traits: Traits
    parameters: int | None
    incomplete: Mapping[str, Mapping[str, int]]
    """Split -> images found and published, where the copy of the data set differs from what was published."""
    base: CellPlan | None = None
    """The plan of the cell of whose trials this one's ensembles are made; None where it holds none."""

    @property
    def search_seeds(self) -> range:
        return range(self.space.search.seeds)

    @property
    def is_soup(self) -> bool:
        """Whether its trials are soups, one of every search seed; other ensembles are made of a repeat each."""
        return self.cell.ensemble in SOUPS

    @property
    def repeat_seeds(self) -> range:
        if self.is_soup:
            return self.search_seeds
        return range(self.space.repeats.seeds if self.traits.seeded else 1)

    def candidates(self, hparams: Mapping[str, Any]) -> list[Candidate]:
        """The trials of the search stage for one configuration: one per seed."""
        ids = self.search_trial(hparams, seed=0).trial_ids(self.search_seeds)
        return [Candidate(trial_id, hparams, seed) for trial_id, seed in zip(ids, self.search_seeds, strict=True)]

    def search_trial(self, hparams: Mapping[str, Any], seed: int) -> TrialSpec:
        """A trial of the search stage: `id_val` alone is evaluated."""
        return self._trial(SEARCH, hparams, seed, alphas=(), frontier=False)

    def repeat_trial(self, hparams: Mapping[str, Any], seed: int) -> TrialSpec:
        """A trial of the repeat stage, with its WiSE-FT grid; there is nothing to interpolate for zero-shot."""
        wise_ft = self.space.wise_ft
        seeded = self.traits.seeded
        alphas = wise_ft.grid if seeded else (0.0,)
        return self._trial(REPEAT, hparams, seed, alphas=alphas, frontier=wise_ft.frontier and seeded)

    def soup(self, ingredients: Sequence[Mapping[str, Any]], seed: int) -> TrialSpec:
        """A soup of the trials of these hyper-parameters, best first, in the search of its base on this seed."""
        return replace(self.repeat_trial({}, seed), ingredients=tuple(map(dict, ingredients)))

    def _trial(
        self, stage: str, hparams: Mapping[str, Any], seed: int, *, alphas: tuple[float, ...], frontier: bool
    ) -> TrialSpec:
        train = self.space.train
        return TrialSpec(
            cell=self.cell,
            stage=stage,
            seed=seed,
            hparams=dict(hparams),
            epochs=train.epochs,
            batch_size=train.batch_size,
            warmup_steps=train.warmup(self.cell.shots),
            templates=None if train.templates == "all" else train.templates,
            patience=self.space.early_stopping.patience,
            alphas=alphas,
            frontier=frontier,
            data=self.data.training,
            weights=self.weights,
            micro_batch=train.micro_batch,
            precision=train.precision,
            compile=train.compile,
            crops=train.crops,
            splits={**self.data.fitted, **(self.data.evaluated if stage == REPEAT else {})},
        )


def plan(space: SearchSpace, checked: Checked) -> list[CellPlan]:
    """One plan per cell of `space`, in the order of the YAML."""
    space = space.ensembling(checked.ensembles)
    plans: dict[Cell, CellPlan] = {}
    for cell in space.cells():
        method = cell.base.method
        plans[cell] = CellPlan(
            cell=cell,
            space=space,
            searched={} if cell.ensemble else checked.searched[method],
            data=checked.data[cell.dataset],
            weights=checked.weights[cell.model],
            metric=checked.metrics[cell.dataset],
            images=_images(cell, checked),
            traits=checked.methods[method],
            parameters=checked.parameters[cell.model],
            incomplete=checked.incomplete.get(cell.dataset, {}),
            base=plans[cell.base] if cell.ensemble else None,
        )
    return list(plans.values())


def _images(cell: Cell, checked: Checked) -> dict[str, int]:
    """Split role -> images; a few-shot cell draws its training and its validation images."""
    images = dict(checked.images[cell.dataset])
    if cell.shots is not None:
        drawn = cell.shots * checked.classes[cell.dataset]
        images |= {"train": drawn, "id_val": drawn}
    return images
