"""LP-FT: linear probing, then full fine-tuning from its solution."""

from __future__ import annotations

import copy

from torch import nn

from flyp_sweep.trainers.methods.base import ImageClassifier
from flyp_sweep.trainers.methods.ft import FineTuning
from flyp_sweep.trainers.methods.lp import best_probe
from flyp_sweep.trainers.task import Task


class LinearProbingFineTuning(FineTuning):
    """FT whose head starts from linear probing, its L2 strength chosen on `id_val` (Kumar et al., 2022)."""

    name = "lpft"
    summary = "as ft, but the head starts from the linear-probing solution"

    def start(self, task: Task) -> nn.Module:
        head = best_probe(task)
        return ImageClassifier(copy.deepcopy(task.pretrained.clip.visual), head.weight, head.bias)
