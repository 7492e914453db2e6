"""Checkpoints of a running trial: written after an epoch, read when the trial is resumed."""

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
LEAVING_SECONDS = 15.0
"""How long a trial that must stop waits for the upload of its checkpoint."""
ERRORS = (OSError, SafetensorError, KeyError, TypeError, ValueError)
"""Errors of reading or writing a file of tensors."""


@dataclass(frozen=True)
class Saved:
    """The content of a checkpoint: named tensors, on the CPU, and facts as JSON values."""

    tensors: Mapping[str, torch.Tensor]
    facts: Mapping[str, Any]

    def part(self, name: str) -> dict[str, torch.Tensor]:
        """The tensors under `name/`, by the rest of their names."""
        return {path.removeprefix(f"{name}/"): it for path, it in self.tensors.items() if path.startswith(f"{name}/")}


@dataclass(frozen=True)
class Policy:
    """Where checkpoints are stored, and when they are written.

    An epoch is saved if `every_seconds` have passed since the last saved epoch. `max_bytes` bounds all checkpoints in
    `folder` together (None: no bound), except for the old file of a checkpoint that is being replaced.
    """

    folder: Path
    every_seconds: float = 60.0
    max_bytes: int | None = None

    def path(self, trial_id: str) -> Path:
        """The file of a trial."""
        return self.folder / f"{trial_id}{SUFFIX}"

    def checkpoint(self, trial_id: str) -> Checkpoint:
        """The checkpoint of a trial, for the process that runs it."""
        return Checkpoint(self, trial_id)


class Checkpoint:
    """The checkpoint of one trial in one process: a safetensors file with facts as JSON in its header, replaced
    atomically.

    Checkpoints are optional: if one cannot be written or read, the trial loses epochs, but never fails. `trouble` then
    holds the reason. A checkpoint has no random state, because every epoch draws from its own stream. `seconds` is the
    trial's total time, including loaded epochs. With `keeps=False` it only loads.
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
        """Register, after an epoch, a function for saving the trial, valid until the next epoch; calls it if a save is
        due."""
        if not self.keeps:
            return
        self._offered = saved
        if self.due:
            self.save_offered()

    @property
    def due(self) -> bool:
        return time.monotonic() - self._last >= self.policy.every_seconds

    def flush(self, seconds: float = LEAVING_SECONDS) -> None:
        """Save the last offered state, unless it is saved already. Call it only between epochs.

        Waits for a store for at most `seconds`.
        """
        self.save_offered()

    def save_offered(self) -> None:
        if self._offered is not None:
            self.save(self._offered())
            self._offered = None

    def load(self) -> Saved | None:
        """The last saved state; None if there is none, or if it cannot be read."""
        try:
            return self.read(self.path)
        except FileNotFoundError:
            return None
        except ERRORS as error:
            self.trouble = f"the checkpoint could not be read, so the trial began anew ({error})"
            return None

    def read(self, path: Path) -> Saved:
        """The content of a file; raises one of ERRORS."""
        with safe_open(path, "pt", device="cpu") as file:
            facts = json.loads(file.metadata()["facts"])
            self._before = float(facts.get("seconds", 0.0))
            # Copies: the file may be replaced, also from another machine, while its mapped pages are in use.
            return Saved({name: file.get_tensor(name).clone() for name in file.keys()}, facts)  # noqa: SIM118

    def write(self, saved: Saved, path: Path) -> None:
        """Write a file; raises one of ERRORS."""
        from safetensors.torch import save_file  # imports torch, which the driver does not need

        self._last = time.monotonic()
        tensors = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in saved.tensors.items()}
        save_file(tensors, path, {"facts": json.dumps({**saved.facts, "seconds": self.seconds})})
        path.chmod(0o644)  # safetensors makes files readable for their owner only

    def save(self, saved: Saved) -> None:
        """Write the checkpoint; keeps the previous one if there is no room."""
        self._last = time.monotonic()
        size = sum(tensor.nbytes for tensor in saved.tensors.values())
        draft = self.path.with_suffix(f".{os.getpid()}.draft")
        try:
            self.policy.folder.mkdir(parents=True, exist_ok=True)
            for stale in self.policy.folder.glob(f"{self.trial_id}.*.draft"):  # from a process that died during a write
                stale.unlink(missing_ok=True)
            with self._room(size) as enough:
                if enough:
                    self.write(saved, draft)
                    sync(draft)
                    draft.replace(self.path)
        except (OSError, SafetensorError) as error:
            self.trouble = f"no checkpoint was written ({error})"
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _room(self, size: int) -> Generator[bool]:
        """Whether `size` more bytes fit into the bound. They stay reserved until the end of the block."""
        if self.policy.max_bytes is None:
            yield True
            return
        with FileLock(self.policy.folder / ".lock"):
            others = sum(
                found.stat().st_size
                for found in self.policy.folder.iterdir()
                if found != self.path and found.suffix in (SUFFIX, ".draft")
            )
            yield self.within_bound(size, others)

    def within_bound(self, size: int, others: int) -> bool:
        """Whether `size` bytes may be written, in addition to `others` bytes."""
        most = self.policy.max_bytes
        if most is None or others + size <= most:
            return True
        self.trouble = (
            f"no checkpoint was written: it takes {size / 1e9:.2f} GB, {others / 1e9:.2f} GB are in use, "
            f"checkpoints.max_gb is {most / 1e9:g}"
        )
        return False


def sync(path: Path) -> None:
    """Flush a file from memory to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
