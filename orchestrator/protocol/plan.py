"""From a search space to what its cells will run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.distributions import Distribution, Scalar
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.trainers.ensemble_checks import EnsembleFacts
from flyp_sweep.trainers.hyper_parameters import MethodFacts
from flyp_sweep.trainers.preflight import Checked, DataFacts, ModelFacts
from flyp_sweep.trainers.schedule import total_steps
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
    data: DataFacts
    model: ModelFacts
    method: MethodFacts
    ensembles: Mapping[str, EnsembleFacts]
    """All ensembles of the sweep."""
    base: CellPlan | None = None
    """The plan of the cell of whose trials this one's ensembles are made; None where it holds none."""

    @property
    def ensemble(self) -> EnsembleFacts | None:
        """The ensemble that its trials are; None where they are none."""
        return self.ensembles[self.cell.ensemble] if self.cell.ensemble else None

    @property
    def label(self) -> str:
        """How its method is printed; the label of an ensemble follows, e.g. `FLYP greedy soup`."""
        return f"{self.method.label} {self.ensemble.label}" if self.ensemble else self.method.label

    @property
    def searched(self) -> Mapping[str, Distribution]:
        """The distributions of the hyper-parameters; ensembles have none of their own."""
        return {} if self.cell.ensemble else self.method.searched

    @property
    def first(self) -> Sequence[Mapping[str, Scalar]]:
        """What the search begins with: the values that `search.first` gives, of hyper-parameters that are searched."""
        return () if self.cell.ensemble else self.method.first

    @property
    def fixed(self) -> Mapping[str, Any] | None:
        """The one configuration that there is to repeat, where nothing is left to search; else None.

        Soups are made of the trials of a search, so there is one for them.
        """
        of_soups = any(self.ensembles[name].is_soup for name in self.space.ensembles_of(self.cell.method))
        if any(one.count != 1 or of_soups for one in self.searched.values()):
            return None
        return {name: one.values()[0] for name, one in self.searched.items()}

    @property
    def images(self) -> Mapping[str, int]:
        """Split role -> images that a trial sees of it; a few-shot cell draws its training and validation images."""
        drawn = (self.cell.shots or 0) * self.data.classes
        return {**self.data.images, **({"train": drawn, "id_val": drawn} if drawn else {})}

    @property
    def is_deterministic(self) -> bool:
        """Whether every seed would give the same trial, so that one seed is all there is to run.

        A method may be deterministic given its training images and its configuration (`lp`). The seed changes neither
        on the whole training split; in a few-shot cell it draws the training and the validation images.
        """
        return not self.method.seeded or (self.method.deterministic and self.cell.shots is None)

    @property
    def search_seeds(self) -> range:
        return range(1 if self.is_deterministic else self.space.search.seeds)

    @property
    def is_soup(self) -> bool:
        """Whether its trials are soups, one of every search seed; other ensembles are made of a repeat each."""
        return self.ensemble is not None and self.ensemble.is_soup

    @property
    def repeat_seeds(self) -> range:
        if self.is_soup:
            return self.search_seeds
        return range(1 if self.is_deterministic else self.space.repeats.seeds)

    @property
    def steps(self) -> int:
        """Steps of a training that nothing ends early."""
        train = self.space.train
        return total_steps(train.epochs, train.batch_size, self.images.get("train", 0))

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
        seeded = self.method.seeded
        alphas = wise_ft.grid if seeded else (0.0,)
        return self._trial(REPEAT, hparams, seed, alphas=alphas, frontier=wise_ft.frontier and seeded)

    def soup(self, ingredients: Sequence[Mapping[str, Any]], seed: int) -> TrialSpec:
        """A soup of the trials of these hyper-parameters, best first, in the search of its base on this seed."""
        return replace(self.repeat_trial({}, seed), ingredients=tuple(map(dict, ingredients)))

    def _trial(
        self, stage: str, hparams: Mapping[str, Any], seed: int, *, alphas: tuple[float, ...], frontier: bool
    ) -> TrialSpec:
        train, stopping, identity = self.space.train, self.space.early_stopping, self.data.identity
        return TrialSpec(
            cell=self.cell,
            stage=stage,
            seed=seed,
            hparams=dict(hparams),
            epochs=train.epochs,
            batch_size=train.batch_size,
            warmup_steps=train.warmup_of(self.steps),
            templates=None if train.templates == "all" else train.templates,
            patience=stopping.epochs,
            alphas=alphas,
            frontier=frontier,
            data=identity.training,
            weights=self.model.fingerprint,
            micro_batch=train.micro_batch,
            precision=train.precision,
            compile=train.compile,
            crops=train.crops,
            epoch_metric=stopping.metric,
            include_start=stopping.include_start,
            grad_clip=train.grad_clip_of(self.cell.base.method) if self.method.trained else None,
            optimizer=train.optimizer,
            crop_scale=train.crop_scale,
            flip=train.flips,
            pairs=train.pairs,
            randaugment=train.augmentation == "randaugment",
            label_smoothing=train.label_smoothing if self.method.smooths_labels else 0.0,
            layer_decay=train.layer_decay if self.method.decays_layers else 1.0,
            splits={**identity.fitted, **(identity.evaluated if stage == REPEAT else {})},
        )


def plan(space: SearchSpace, checked: Checked) -> list[CellPlan]:
    """One plan per cell, in the order of the YAML.

    Their `space` has written out what the methods search, and what ensembles are made of.
    """
    searched = {name: method.searched for name, method in checked.methods.items()}
    made_of = {name: ensemble.methods for name, ensemble in checked.ensembles.items()}
    space = space.ensembling(made_of).searching(searched)
    plans: dict[Cell, CellPlan] = {}
    for cell in space.cells():
        data, model, method = checked.data[cell.dataset], checked.models[cell.model], checked.methods[cell.base.method]
        base = plans[cell.base] if cell.ensemble else None
        plans[cell] = CellPlan(cell, space, data, model, method, checked.ensembles, base)
    return list(plans.values())
