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


def machine(device: str, threads: int, processes: int = 1) -> dict[str, Any]:
    """The kind of CPU, its cores, the kind of GPU (None on a CPU), and a trial's processes and threads in each."""
    kinds = {"cpu": cpu_model(), "cores": os.cpu_count(), "gpu": _gpu(device)}
    return {**kinds, "processes": processes, "threads": threads}


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
