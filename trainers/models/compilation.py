"""Compiled training: torch.compile fuses the kernels of the image encoder's training steps.

Each input shape gets its own compiled code. Code for dynamic shapes would be tuned to the first shape that a worker
sees, so a trial's last bits would depend on the trials before it. Training steps have few shapes. Evaluation is not
compiled, because every split has another last batch; nor is the text tower, because every batch has other prompts. All
values computed from the pretrained model are therefore unchanged.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from functools import cache
from typing import Any

import torch
from torch import nn

OPTIONS: dict[str, Any] = {"fallback_random": True, "deterministic": True}
"""Dropout draws as without compilation, and timings do not select kernels."""
NO_LIMITS: Any = {"recompile_limit": sys.maxsize, "accumulated_recompile_limit": sys.maxsize}
"""Above its limit torch stops compiling, which would change the last bits in a worker that has run many cells."""


def compile_training(clip: Any) -> None:
    """From now on, the image encoder of an open_clip model, and all copies of it, train in compiled code."""
    # Copies would lose `nn.Module.compile`, but they share the class, and with it the compiled code.
    kind: Any = type(clip.visual)
    clip.visual.__class__ = _compiled(kind)


def cpp_compiler() -> str | None:
    """The C++ compiler that torch would use for a CPU; None if there is none."""
    command = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    try:  # a Mac may have a clang++ that only prints how to install one
        subprocess.run([*shlex.split(command), "--version"], check=True, capture_output=True)
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None
    return command


@cache
def _compiled(kind: Any) -> Any:
    """A subclass with a compiled forward in training mode. Copying and saving work as before."""
    config: Any = torch.compiler.config
    unlimited = config.patch(NO_LIMITS)
    compiled: Any = torch.compile(kind.forward, dynamic=False, options=OPTIONS)

    def forward(self: nn.Module, images: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return kind.forward(self, images)
        with unlimited:
            return compiled(self, images)

    return type(kind.__name__, (kind,), {"forward": forward})
