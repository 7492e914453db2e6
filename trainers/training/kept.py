"""Converts fits to files and back: weights that differ from the pretrained ones, and all other results of the fit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict

import torch

from flyp_sweep.trainers.checkpoints.checkpoint import Saved
from flyp_sweep.trainers.evaluation.metrics import Scores
from flyp_sweep.trainers.methods.base import Method
from flyp_sweep.trainers.spec import Epoch
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.training.fitted import Fitted

State = Mapping[str, torch.Tensor]


def packed(fitted: Fitted, method: Method, task: Task) -> Saved:
    """A fit as file content: scores and report as facts, and the changed weights."""
    base = _unfitted(method, task)
    changed = {name: one for name, one in fitted.trained.items() if name not in base or not same(one, base[name])}
    facts = {"scores": asdict(fitted.scores), "report": asdict(fitted.report), "unchanged": _unchanged(base, changed)}
    return Saved(changed, facts)


def unpacked(saved: Saved, method: Method, task: Task) -> Fitted | None:
    """The fit that `packed` converted, bit for bit.

    None if the file belongs to another model architecture, to no fit, or to other pretrained weights.
    """
    base = _unfitted(method, task)
    trained = {**base, **{name: one.to(task.device) for name, one in saved.tensors.items()}}
    if trained.keys() != base.keys() or any(trained[name].shape != base[name].shape for name in base):
        return None
    if saved.facts.get("unchanged") != _unchanged(base, saved.tensors):
        return None
    try:
        scores, report = Scores(**saved.facts["scores"]), Epoch(**saved.facts["report"])
    except (KeyError, TypeError):  # another version of the code wrote it
        return None
    return Fitted(exported(trained, method, task), scores, report, trained)


def exported(trained: State, method: Method, task: Task) -> dict[str, torch.Tensor]:
    """The weights that predict, from the trained ones. The weights of an ensemble are exported already."""
    return dict(trained) if task.spec.ingredients else method.export(dict(trained), task)


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors are bit for bit equal: 0.0 differs from -0.0."""
    if (one.shape, one.dtype) != (other.shape, other.dtype):
        return False
    return torch.equal(*(each.detach().contiguous().reshape(-1).view(torch.uint8) for each in (one, other)))


def _unchanged(base: State, changed: State) -> str:
    """A hash of the unchanged weights, which the file omits."""
    digest = hashlib.sha256()
    for name in sorted(base.keys() - changed.keys()):
        digest.update(name.encode())
        digest.update(base[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _unfitted(method: Method, task: Task) -> State:
    model = method.zero_shot(task) if task.spec.ingredients else method.unfitted(task)
    return model.state_dict()
