"""The folder that `export` writes: weights for open_clip, the head, labels, prompts and a model card."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.model import Model
from flyp_sweep.trainers.ensembles.alpha_curve import AlphaCurve
from flyp_sweep.trainers.exporting.facts import Facts
from flyp_sweep.trainers.exporting.snippet import snippet
from flyp_sweep.trainers.methods.portable import Portable, zero_shot
from flyp_sweep.trainers.models.preprocessing import CONFIG
from flyp_sweep.trainers.models.pretrained import architecture_of
from flyp_sweep.trainers.models.weights import WEIGHTS
from flyp_sweep.trainers.task import Task

HEAD, LABELS, PROMPTS, CARD = "head.safetensors", "labels.json", "prompts.json", "README.md"


@dataclass(frozen=True)
class Export:
    """The content of a folder: the model of `task`'s trial, described by `facts`; `model` is the pretrained one's
    entry."""

    portable: Portable
    task: Task
    model: Model
    facts: Facts

    @classmethod
    @torch.no_grad()
    def of(cls, curve: AlphaCurve, trial_id: str, alpha: float, model: Model, threads: int) -> Export:
        """The model at `alpha` of a trial that ran with `threads` threads. Raises InputError if open_clip cannot load
        it."""
        task = curve.task
        portable = zero_shot(task) if alpha == 0 else curve.method.portable(curve.at(alpha).eval(), task)
        return cls(portable, task, model, Facts.of(task, trial_id, alpha, threads))

    @property
    def labels(self) -> list[str]:
        return list(self.task.shared.dataset.class_names)

    @property
    def templates(self) -> list[str]:
        return list(self.task.shared.dataset.templates[: self.task.spec.templates])

    @property
    def snippet(self) -> str:
        """Python code that predicts with the folder, without this package."""
        return snippet(self.facts, self.portable.votes is not None, self.portable.adapter is not None)

    def write(self, folder: Path) -> None:
        """Write everything but the card into `folder`. Raises OSError or SafetensorError."""
        architecture = architecture_of(self.model)
        config = {"model_cfg": architecture, "preprocess_cfg": dict(self.task.pretrained.preprocess.config)}
        write_json(folder / CONFIG, config)
        write_json(folder / LABELS, self.labels)
        prompts = {name: [template.format(name) for template in self.templates] for name in self.labels}
        write_json(folder / PROMPTS, {"templates": self.templates, "prompts": prompts})
        if "hf_tokenizer_name" in architecture.get("text_cfg", {}):
            tokenizer: Any = self.task.pretrained.tokenizer
            tokenizer.save_pretrained(str(folder))
        save_file(on_cpu(self.portable.clip.state_dict()), folder / WEIGHTS[0], {"format": "pt"})
        save_file(on_cpu(self.portable.tensors), folder / HEAD, self.facts.header)
        for name in (WEIGHTS[0], HEAD):  # safetensors makes files readable for their owner only
            (folder / name).chmod((folder / CONFIG).stat().st_mode)


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def on_cpu(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copies that share no memory, as safetensors requires."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def check_free(folder: Path) -> None:
    """Raise InputError if `folder` exists and is not an empty folder, or if it cannot be created."""
    try:
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise InputError(
                f"{folder}: found something there already; expected an empty or new folder; choose another"
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error


@contextmanager
def drafted(folder: Path) -> Iterator[Path]:
    """A draft beside `folder`, which replaces it at the end of the block: `folder` never holds an incomplete export.

    Raises InputError if it cannot be written.
    """
    check_free(folder)
    draft = folder.absolute().with_name(f".{folder.absolute().name}.{os.getpid()}.draft")
    try:
        draft.mkdir()
        yield draft
        draft.rename(folder)
    except (OSError, SafetensorError) as error:
        raise unwritable(folder, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def unwritable(folder: Path, error: Exception) -> InputError:
    reason = error.strerror or str(error) if isinstance(error, OSError) else " ".join(str(error).split())
    return InputError(f"{folder}: cannot be written ({reason}), and nothing is left there; make room or choose another")
