"""What the workers of a sweep have in common, and how they answer: plain data that travels through Ray."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flyp_sweep.search_spaces.model import Resources, SearchSpace
from flyp_sweep.trainers.checkpoints.checkpoint import Policy
from flyp_sweep.trainers.checkpoints.prediction_files import PredictionFiles

Reply = dict[str, Any]
"""What a step of a trial gives to Ray: an `Epoch` as a dict with the `seconds` that it took, or an ending.

An ending is JSON text, because Ray flattens dicts.
"""


@dataclass(frozen=True)
class Settings:
    """What all trials of a sweep have in common; each of them has these `resources`.

    `checkpoints` says where trials under way are saved, `weights` where the fits of finished trials are kept,
    `predictions` where the predictions of repeats go. `stacks` is the folder in which a worker that hangs or crashes
    writes down where it was (None: into its own log). `python_path` is the driver's, for workers on its machine: Ray
    puts the working folder first (None: leave the path as it is).
    """

    space: SearchSpace
    data_root: Path
    checkpoints: Policy
    weights: Policy
    predictions: PredictionFiles
    resources: Resources
    stacks: str | None = None
    python_path: tuple[str, ...] | None = None


def ending(status: str, seconds: float, *, final: bool = True, **more: Any) -> Reply:
    """The reply that ends a trial after `seconds`. One that is not `final` comes from a worker that ends next."""
    text = json.dumps({"status": status, "seconds": seconds, **more})
    return {"ending": text, **({"done": True} if final else {})}


def ending_in(reply: Reply) -> dict[str, Any] | None:
    """How a reply ends its trial; None if it does not."""
    return json.loads(reply["ending"]) if "ending" in reply else None
