"""LP-FT: linear probing, then full fine-tuning from its solution."""

from __future__ import annotations

import copy

from torch import nn

from flyp_sweep.search_spaces.distributions import Constant
from flyp_sweep.trainers.methods.base import ImageClassifier
from flyp_sweep.trainers.methods.domains import Number
from flyp_sweep.trainers.methods.ft import FineTuning
from flyp_sweep.trainers.methods.lp import BEST, STRENGTHS, best_probe, probe
from flyp_sweep.trainers.task import Task


class LinearProbingFineTuning(FineTuning):
    """FT with a head that starts from linear probing (Kumar et al., 2022).

    `probe_C` is the probe's C (see `lp`): a number, searched like any hyper-parameter, or `best`, the best of lp's
    default range on `id_val`. If the best is an end of the range, the trial's notes say so.
    """

    name = "lpft"
    label = "LP-FT"
    summary = "as ft, but the head starts from the linear-probing solution"
    hparams = {**FineTuning.hparams, "probe_C": Constant(BEST)}
    domains = {**FineTuning.domains, "probe_C": Number(above=0, word=BEST)}

    def start(self, task: Task) -> nn.Module:
        c = task.hparams["probe_C"]
        head, _ = best_probe(task) if c == BEST else (probe(task, c), c)
        return ImageClassifier(copy.deepcopy(task.pretrained.clip.visual), head.weight, head.bias)

    def notes(self, task: Task) -> list[str]:
        if task.hparams["probe_C"] != BEST:
            return []
        _, c = best_probe(task)
        if c not in (STRENGTHS[0], STRENGTHS[-1]):
            return []
        return [f"the probe's C, {c:g}, lies on the edge of its range, {STRENGTHS[0]:g} to {STRENGTHS[-1]:g}"]
