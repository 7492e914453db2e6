"""What a method works with: the pretrained model, the prompts, the data, and the trial's own random streams."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from flyp_sweep.search_spaces.roles import REPORTED
from flyp_sweep.trainers.checkpoints.checkpoint import Checkpoint
from flyp_sweep.trainers.checkpoints.kept_fits import KeptFits
from flyp_sweep.trainers.checkpoints.prediction_files import PredictionFiles
from flyp_sweep.trainers.data import few_shot
from flyp_sweep.trainers.data.images import MEMORY_BUDGET, Augmentation
from flyp_sweep.trainers.datasets.base import Split, Subset
from flyp_sweep.trainers.distributed import ALONE, Ranks
from flyp_sweep.trainers.models.pretrained import Pretrained
from flyp_sweep.trainers.seeding import stream
from flyp_sweep.trainers.shared import EVALUATION_BATCH, Shared, batch_starts, identity
from flyp_sweep.trainers.spec import TrialSpec


@dataclass(frozen=True)
class Task:
    """One trial's view of the data and the model: `shared` is common to many trials, the rest belongs to this trial.

    `checkpoint` stores the training state, so that another process can resume it (None: no checkpoint). `ranks` are the
    processes that train the trial together. `kept` holds the fits that the run keeps, of all its trials (None: the run
    keeps no fits, and an ensemble retrains its members). `prediction_files` writes the predictions (None: not written).
    """

    shared: Shared
    spec: TrialSpec
    checkpoint: Checkpoint | None = None
    ranks: Ranks = ALONE
    kept: KeptFits | None = None
    prediction_files: PredictionFiles | None = None

    @property
    def device(self) -> torch.device:
        return self.shared.device

    @property
    def hparams(self) -> Mapping[str, Any]:
        return self.spec.hparams

    @property
    def pretrained(self) -> Pretrained:
        return self.shared.pretrained

    @property
    def prompts(self) -> torch.Tensor:
        """Tokens [C, T, L] of the class prompts."""
        return self.shared.prompts(self.spec.templates)

    @property
    def captions(self) -> torch.Tensor | None:
        """Tokens int32 [N, L], on the CPU, of the captions of the training images; None: they have no captions."""
        return self.shared.captions(self.train)

    @property
    def zero_shot_head(self) -> torch.Tensor:
        """Weights [C, D] of the pretrained model's zero-shot head."""
        return self.shared.zero_shot_head(self.spec.templates)

    @property
    def augmentation(self) -> Augmentation:
        """How training views differ from the images."""
        return Augmentation(self.spec.crop_scale, self.spec.flip, self.spec.randaugment)

    def with_classes(self, split: Split) -> Task:
        """The same trial with the classes and prompts of `split`, if that split has classes of its own; else itself."""
        return self if split.class_names is None else replace(self, shared=self.shared.with_classes(split))

    def stream(self, *names: str | int) -> np.random.Generator:
        """The trial's random stream of this name. It depends on stage, seed and name only, so all methods share it."""
        return stream(self.spec.draws, self.spec.seed, *names)

    @cached_property
    def train(self) -> Split:
        """The training images: all of them, or this seed's few-shot draw."""
        whole = self.shared.split(self.shared.dataset.named("train")[0])
        shots = self.spec.cell.shots
        if shots is None:
            return whole
        if published := self.shared.dataset.few_shot_draw(shots, self.spec.seed):
            return _take(whole, published[0])
        return _take(whole, few_shot.draw(whole.labels, shots, self.stream("shots", "train")))

    @cached_property
    def id_val(self) -> Split:
        """The validation images: all of them, or this seed's few-shot draw, disjoint from the training draw.

        If id_val is cut from the training images, the draw comes from those (see `Dataset.one_pool`).
        """
        own = self.shared.dataset.named("id_val")
        shots = self.spec.cell.shots
        if own and shots is None:
            return self.shared.split(own[0])
        assert shots is not None, "preflight refuses a full-data cell without an id_val split"
        if published := self.shared.dataset.few_shot_draw(shots, self.spec.seed):
            return _take(self.shared.split(own[0]), published[1])
        rng = self.stream("shots", "id_val")
        if not self.shared.dataset.one_pool:
            pool = self.shared.split(own[0])
            return _take(pool, few_shot.draw(pool.labels, shots, rng))
        pool = replace(self.shared.split(self.shared.dataset.named("train")[0]), role="id_val")
        assert isinstance(self.train.images, Subset)
        taken = np.asarray(self.train.images.indices)
        return replace(_take(pool, few_shot.draw(pool.labels, shots, rng, exclude=taken)), name="id_val")

    def training_batches(
        self, batches: Sequence[np.ndarray], rng: np.random.Generator, epoch: int
    ) -> Iterator[torch.Tensor]:
        """Batches [B, 3, H, W] of the training images at `batches`, randomly cropped by draws from `rng`.

        With several processes, each loads only its own rows (see `Ranks.spread`). Trials with the same stage, seed and
        image order use the same crops in each epoch. If a training has few enough crops, the worker keeps and reuses
        them.
        """
        loader, split, sizes = self.shared.loader, self.train, [len(batch) for batch in batches]
        batches = [batch[self.ranks.rows(len(batch)).numpy()] for batch in batches]
        if self.spec.crops == "batched" or self.augmentation.of_evaluation:
            resized = self.shared.resized_batches(split, batches)
            crops = loader.crops(resized, batches, len(split), rng, self.augmentation)
            return self.ranks.spread(map(loader.to_device, crops), sizes)
        pixels = loader.training_batches(split.images, batches, rng, self.augmentation)
        if self.spec.epochs * math.prod((len(split), *self.pretrained.preprocess.size, 3)) <= MEMORY_BUDGET:
            order = hashlib.sha256(np.concatenate(batches).tobytes()).hexdigest()
            drawn = self.spec.stage, self.spec.seed, epoch, self.ranks.rank, self.ranks.world
            key = "crops", identity(split), self.spec.batch_size, order, self.augmentation, *drawn
            pixels = self.shared.gone_through(key, pixels)
        return self.ranks.spread(map(loader.to_device, pixels), sizes)

    def training_features(self, batches: Sequence[np.ndarray]) -> Iterator[torch.Tensor]:
        """Features [B, D] of the frozen encoder of the training images at `batches`."""
        features = self.shared.features(self.train)
        return (features[torch.from_numpy(batch).to(features.device)] for batch in batches)

    def turns(self, split: Split) -> slice:
        """The evaluation batches of `split` that this process computes."""
        return self.ranks.turns(len(batch_starts(split)))

    def evaluation_inputs(self, split: Split, features: bool) -> Iterable[torch.Tensor]:
        """The inputs of a classifier for `split`, in batches: images, or cached `features` of the frozen encoder.

        With several processes, each gets only its own batches (see `turns`).
        """
        turns = self.turns(split)
        if features:
            return self.shared.features(split).split(EVALUATION_BATCH)[turns]
        return self.shared.evaluation_batches(split, turns)

    def joined(self, own: Sequence[torch.Tensor], split: Split) -> torch.Tensor:
        """Logits [N, C] of all of `split`, from this process's `own` batches and those of the others."""
        return self.ranks.join_turns(own, len(split), EVALUATION_BATCH)

    def reported(self) -> Iterator[Split]:
        """The splits that only the tables report: id_test, OOD validation, then every OOD set."""
        for role in REPORTED:
            for name in self.shared.dataset.named(role):
                yield self.shared.split(name)


def _take(split: Split, indices: np.ndarray) -> Split:
    return split.taken(indices, Subset(split.images, indices))
