"""Checkpoints of a trial that is under way: written after an epoch, read by whoever runs the trial again."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from safetensors import SafetensorError, safe_open

if TYPE_CHECKING:
    import torch

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds: tensors by name, on the CPU, and facts that JSON can say."""

    tensors: Mapping[str, torch.Tensor]
    facts: Mapping[str, Any]

    def part(self, name: str) -> dict[str, torch.Tensor]:
        """The tensors under `name/`, by what follows."""
        return {path.removeprefix(f"{name}/"): it for path, it in self.tensors.items() if path.startswith(f"{name}/")}


@dataclass(frozen=True)
class Policy:
    """Where checkpoints lie, and which are written.

    An epoch is saved when `every_seconds` have passed since the last one was; `max_bytes` bounds all checkpoints in
    `folder` together (None: no bound). While one is being replaced, its old file comes on top.
    """

    folder: Path
    every_seconds: float = 60.0
    max_bytes: int | None = None

    def path(self, trial_id: str) -> Path:
        """The one file of a trial."""
        return self.folder / f"{trial_id}{SUFFIX}"


class Checkpoint:
    """The checkpoint of one trial in one process: a safetensors file, facts as JSON in its header, replaced whole.

    A checkpoint is a help and no more: one that cannot be written or read costs epochs, never the trial. `trouble`
    then says why. No random state belongs in it: an epoch draws from a stream of its own. `seconds` are what the trial
    has taken so far, the epochs that were loaded included. One that does not keep anything only loads.
    """

    def __init__(self, policy: Policy, trial_id: str, *, keeps: bool = True) -> None:
        self.policy = policy
        self.keeps = keeps
        self.trial_id = trial_id
        self.path = policy.path(trial_id)
        self.trouble: str | None = None
        self._began = self._last = time.monotonic()
        self._before = 0.0
        self._offered: Callable[[], Saved] | None = None

    @property
    def seconds(self) -> float:
        return self._before + time.monotonic() - self._began

    def offer(self, saved: Callable[[], Saved]) -> None:
        """Say, after an epoch, that the trial can be saved until the next one begins; done at once when it is due."""
        if not self.keeps:
            return
        self._offered = saved
        if time.monotonic() - self._last >= self.policy.every_seconds:
            self.flush()

    def flush(self) -> None:
        """Save what was offered last, unless it is saved. To be called between epochs alone."""
        if self._offered is not None:
            self.save(self._offered())
            self._offered = None

    def load(self) -> Saved | None:
        """What was saved last; None when there is nothing, or nothing that can be read."""
        try:
            with safe_open(self.path, "pt", device="cpu") as file:
                facts = json.loads(file.metadata()["facts"])
                self._before = float(facts.get("seconds", 0.0))
                # Copies: the file may be replaced, also from another machine, while its mapped pages are in use.
                return Saved({name: file.get_tensor(name).clone() for name in file.keys()}, facts)  # noqa: SIM118
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            self.trouble = f"the checkpoint could not be read, so the trial began anew ({error})"
            return None

    def save(self, saved: Saved) -> None:
        """Write the checkpoint, or keep the one before where there is no room."""
        from safetensors.torch import save_file  # with it comes torch, which the driver has no use for here

        self._last = time.monotonic()
        tensors = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in saved.tensors.items()}
        size = sum(tensor.nbytes for tensor in tensors.values())
        draft = self.path.with_suffix(f".{os.getpid()}.draft")
        try:
            self.policy.folder.mkdir(parents=True, exist_ok=True)
            for stale in self.policy.folder.glob(f"{self.trial_id}.*.draft"):  # of a process that died while writing it
                stale.unlink(missing_ok=True)
            with self._room(size) as enough:
                if enough:
                    save_file(tensors, draft, {"facts": json.dumps({**saved.facts, "seconds": self.seconds})})
                    _sync(draft)
                    draft.replace(self.path)
        except (OSError, SafetensorError) as error:
            self.trouble = f"no checkpoint was written ({error})"
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _room(self, size: int) -> Generator[bool]:
        """Whether `size` bytes more stay within the bound; until the end of the block nobody else takes them."""
        if self.policy.max_bytes is None:
            yield True
            return
        with FileLock(self.policy.folder / ".lock"):
            others = sum(
                found.stat().st_size
                for found in self.policy.folder.iterdir()
                if found != self.path and found.suffix in (SUFFIX, ".draft")
            )
            enough = others + size <= self.policy.max_bytes
            if not enough:
                self.trouble = (
                    f"no checkpoint was written: it takes {size / 1e9:.2f} GB, {others / 1e9:.2f} GB are in use, "
                    f"checkpoints.max_gb is {self.policy.max_bytes / 1e9:g}"
                )
            yield enough


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
