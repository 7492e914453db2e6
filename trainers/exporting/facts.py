"""An exported folder's record of its model's trial, in the header of `head.safetensors`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from flyp_sweep.search_spaces.sections import ShownAs
from flyp_sweep.search_spaces.training import Precision
from flyp_sweep.trainers.data.images import Remembered
from flyp_sweep.trainers.datasets.base import Images, Subset
from flyp_sweep.trainers.shared import EVALUATION_BATCH
from flyp_sweep.trainers.task import Task

KEY = "flyp_sweep"
"""The header's entry, a JSON object."""
NOTE = "logits = features @ weight.T (+ bias); features are L2-normalised; the logit scale is contained in weight"


@dataclass(frozen=True)
class Facts:
    """The model is the trial's at `alpha`. Images were decoded as `shown_as` says, and `border` pixels were cut off
    each side. Encoders ran in `precision`, in batches of `batch`, on `device` with `threads` threads. `decoding`
    describes other changes that the data set makes to the pixels of its files; empty if there are none."""

    trial_id: str
    method: str
    alpha: float
    shown_as: ShownAs = "torchvision"
    border: int = 0
    decoding: str = ""
    precision: Precision = "fp32"
    device: str = "cpu"
    threads: int = 1
    batch: int = EVALUATION_BATCH

    @classmethod
    def of(cls, task: Task, trial_id: str, alpha: float, threads: int) -> Facts:
        """The facts of a trial that ran with `threads` threads."""
        images = bare(task.id_val.images)
        shown_as: ShownAs = getattr(images, "shown_as", "torchvision")
        border = int(getattr(images, "border", 0))
        known = {"", shown_as, f"border {border}", f"border {border} {shown_as}"}
        decoding = str(getattr(images, "decoding", ""))
        return cls(
            trial_id=trial_id,
            method=task.spec.cell.method,
            alpha=alpha,
            shown_as=shown_as,
            border=border,
            decoding="" if decoding in known else decoding,
            precision=task.spec.precision,
            device=task.device.type,
            threads=threads,
        )

    @property
    def header(self) -> dict[str, str]:
        """The header of a safetensors file. It has one entry, because safetensors does not preserve the order of
        several."""
        return {KEY: json.dumps({**asdict(self), "note": NOTE})}

    @classmethod
    def from_header(cls, header: Mapping[str, str]) -> Facts:
        """The facts in a header. Raises KeyError, TypeError or ValueError if it has none."""
        told: dict[str, Any] = json.loads(header[KEY])
        del told["note"]
        return cls(**told)


def bare(images: Images) -> Images:
    """The images as the data set made them, without wrappers that memoise them or select a subset."""
    while isinstance(images, Remembered | Subset):
        images = images.images
    return images
