"""What a trial was computed on, as far as it bears on its numbers and its time. No name of any machine is kept."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

CPU_INFO = Path("/proc/cpuinfo")


def machine(device: str, threads: int) -> dict[str, Any]:
    """The kind of CPU, its cores, the threads a trial computes with, and the kind of GPU (None on a CPU)."""
    return {"cpu": cpu_model(), "cores": os.cpu_count(), "threads": threads, "gpu": _gpu(device)}


def numerics(device: torch.device) -> dict[str, Any]:
    """What else the last bits of a computation depend on: the library, the kind of device, the threads."""
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    return {
        "torch": torch.__version__,
        "cpu": f"{cpu_model()}, {capability}",
        "gpu": _gpu(device.type),
        "threads": torch.get_num_threads(),
    }


@cache
def cpu_model(info: Path = CPU_INFO) -> str:
    """The name of the CPU as Linux tells it, elsewhere its architecture."""
    try:
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(filter(None, named), platform.machine())


def _gpu(device: str) -> str | None:
    if device != "cuda":
        return None
    import torch

    try:
        return torch.cuda.get_device_name()
    except RuntimeError:  # a broken GPU is the trial's to report
        return None
