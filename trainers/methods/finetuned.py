"""A model that was fine-tuned elsewhere, as a row next to the methods: its weights come from a file."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from torch import nn

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.evaluation.predict import Classifier, TwoTowers
from flyp_sweep.trainers.methods.base import SolvedMethod
from flyp_sweep.trainers.models import finetuned
from flyp_sweep.trainers.models.prompts import zero_shot_head
from flyp_sweep.trainers.task import Task

CONTENT = "checkpoint"
"""The hyper-parameter with the digest of the file's content. A trial depends on the content, not on the path."""


class FineTuned(SolvedMethod):
    """A CLIP from `path`, interpolated with the pretrained one; it predicts zero-shot style, with its own encoders.

    In few-shot cells the seed draws the images that alpha is chosen on.
    """

    summary = "a model that was fine-tuned elsewhere: {checkpoint: PATH, label: NAME}"
    hparams = {CONTENT: None}
    deterministic = True
    retrieves = True
    open_vocabulary = True

    def __init__(self, label: str, path: Path) -> None:
        self.name = self.label = label
        self.path = path

    @property
    def key(self) -> str:
        """The key of its entry in the search space, for errors."""
        return f"methods: {self.name}"

    def content(self) -> str:
        """The identity of the weights. Raises InputError if the file is absent or no checkpoint."""
        return f"sha256:{finetuned.content(self.path, self.key)}"

    def zero_shot(self, task: Task) -> nn.Module:
        return copy.deepcopy(task.pretrained.clip)

    def solve(self, task: Task) -> nn.Module:
        """The model in the file. Raises InputError if the file has changed since the start of the run."""
        if (found := self.content()) != task.hparams[CONTENT]:
            raise InputError(
                f"{self.key}: {self.path}: found {found}; expected {task.hparams[CONTENT]}, as at the start"
            )
        model = self.zero_shot(task)
        finetuned.load_into(model, self.path, self.key)
        return model

    def classifier(self, model: Any, task: Task) -> Classifier:
        return TwoTowers(model, zero_shot_head(model, task.prompts))
