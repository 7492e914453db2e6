"""What a trial takes of memory, measured in the process that runs it, and what this process does with what is freed."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
FORGET_PEAK = "5"
"""What the kernel is told over `CLEAR` for the peak to begin anew."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt."""
MAPPED_ALONE, KEPT = 32 * 2**20, 64 * 2**20
"""Bytes: from which on a block is the kernel's as soon as it is freed, and how many may lie free at the heap's end.

These are the most that glibc comes to by itself, after it has freed a block as large; activations may all be smaller.
"""


@dataclass(frozen=True)
class Memory:
    """The most bytes that a trial has held so far; None where that cannot be told.

    `host` leaves out what processes share (files that are mapped, what the fork server has imported). `gpu` is of a GPU
    that has `gpu_total`, and holds what its driver keeps for the process, or for all on that GPU where there are more.
    """

    host: int | None
    gpu: int | None = None
    gpu_total: int | None = None

    def or_more(self, other: Memory) -> Memory:
        """The larger of both, one by one."""
        return Memory(_most(self.host, other.host), _most(self.gpu, other.gpu), _most(self.gpu_total, other.gpu_total))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


NOTHING = Memory(None)
"""Where nothing was measured."""


def _most(*sizes: int | None) -> int | None:
    return max((size for size in sizes if size is not None), default=None)


class Meter:
    """Measures one trial after the other in this process, which has just been forked."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._inherited = status().get("RssAnon", 0)

    def begin(self) -> None:
        """A trial begins: what the one before took is no more."""
        with suppress(OSError):
            CLEAR.write_text(FORGET_PEAK)
        if self.device.type == "cuda":
            import torch

            with suppress(RuntimeError):  # a broken GPU is the trial's to report
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats(self.device)

    def read(self) -> Memory:
        """What the trial has taken so far."""
        found = status()
        host = None
        if "VmHWM" in found:
            shared = found.get("RssFile", 0) + found.get("RssShmem", 0) + self._inherited
            host = max(0, found["VmHWM"] - shared)
        return Memory(host, *self._gpu())

    def _gpu(self) -> tuple[int | None, int | None]:
        if self.device.type != "cuda":
            return None, None
        import torch

        try:
            free, total = torch.cuda.mem_get_info(self.device)
            others = total - free - torch.cuda.memory_reserved(self.device)
            return torch.cuda.max_memory_reserved(self.device) + others, total
        except RuntimeError:
            return None, None


def status() -> dict[str, int]:
    """This process's sizes in bytes, as Linux tells them; nothing elsewhere."""
    with suppress(OSError):
        lines = [line.split() for line in STATUS.read_text().splitlines()]
        return {line[0].removesuffix(":"): 1024 * int(line[1]) for line in lines if line[-1] == "kB"}
    return {}


def keep_what_is_freed() -> None:
    """Have this process keep some of the memory that it frees, for what it allocates next.

    A step frees all its activations, and glibc would return them to the kernel, which hands them out again page by page
    and zeroed. Other C libraries are left as they are.
    """
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, MAPPED_ALONE)
        mallopt(M_TRIM_THRESHOLD, KEPT)


def return_what_is_freed() -> None:
    """Let go of what nobody holds: circles of references, such as a trained model is part of, and what was kept."""
    gc.collect()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))
