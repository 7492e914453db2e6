"""Compiled training: the image encoder's steps as fused kernels, by torch.compile.

Nothing but training steps is compiled. They come in few shapes, so each gets code of its own: code for any shape would
be tuned to the one that a worker happened to meet first, and a trial's last bits would depend on the trials before it.
Evaluation, where every split has another last batch, and the text tower, to which every batch brings other prompts,
stay as they are, and with them all that is computed of the pretrained model.
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
"""Dropout draws as without compilation, and no kernel is chosen by the clock."""
NO_LIMITS: Any = {"recompile_limit": sys.maxsize, "accumulated_recompile_limit": sys.maxsize}
"""Beyond a limit torch would go on without compilation, and so with other bits in a worker that has seen many cells."""


def compile_training(clip: Any) -> None:
    """Have the image encoder of an open_clip model train in compiled code from now on, and so all copies of it."""
    # `nn.Module.compile` would be lost by copies; a class is shared by them, and so is its code.
    kind: Any = type(clip.visual)
    clip.visual.__class__ = _compiled(kind)


def cpp_compiler() -> str | None:
    """The C++ compiler that torch would use for a CPU; None: there is none."""
    command = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    try:  # a Mac has a clang++ that only says how to install one
        subprocess.run([*shlex.split(command), "--version"], check=True, capture_output=True)
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None
    return command


@cache
def _compiled(kind: Any) -> Any:
    """The same class of modules, with a compiled forward in training mode: copying and saving one are as before."""
    config: Any = torch.compiler.config
    unlimited = config.patch(NO_LIMITS)
    compiled: Any = torch.compile(kind.forward, dynamic=False, options=OPTIONS)

    def forward(self: nn.Module, images: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return kind.forward(self, images)
        with unlimited:
            return compiled(self, images)

    return type(kind.__name__, (kind,), {"forward": forward})
