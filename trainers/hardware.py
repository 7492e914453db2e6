"""The hardware and software that affect a trial's numbers and time. Host names are not recorded."""

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
    """Kind of CPU, number of cores, kind of GPU (None on a CPU), processes per trial and threads per process."""
    kinds = {"cpu": cpu_model(), "cores": os.cpu_count(), "gpu": _gpu(device)}
    return {**kinds, "processes": processes, "threads": threads}


def numerics(device: torch.device) -> dict[str, Any]:
    """What affects the last bits of a computation: library version, kind of device, number of threads."""
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
    """The CPU's name as Linux reports it; on other systems its architecture."""
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
    except RuntimeError:  # the trial will report a broken GPU
        return None
