"""Tensors without memory: code that reads a value gets 0, so that it can run to its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

META = torch.device("meta")
"""The device of tensors with shapes and without values."""

TOLD: frozenset[Any] = frozenset(
    {
        *(torch.Tensor.item, torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.cpu, torch.Tensor.__array__),
        *(torch.Tensor.__int__, torch.Tensor.__float__, torch.Tensor.__index__),
    }
)
"""Functions that return values; for a tensor without values, they get zeros of its shape."""

TRUTHS: frozenset[Any] = frozenset({torch.Tensor.__bool__, torch.equal, torch.Tensor.equal, torch.allclose})
"""Functions whose results code branches on."""

SHAPED_BY_VALUES: frozenset[Any] = frozenset(
    {torch.unique, torch.Tensor.unique, torch.nonzero, torch.Tensor.nonzero, torch.bincount, torch.Tensor.bincount}
)
"""Functions that return tensors with value-dependent shapes."""


class WithoutValues(TorchFunctionMode):
    """In this mode, tensors on `META` behave as zeros wherever code needs their values; all of them are finite.

    `guessed`: code has tested a condition on values, so it may have taken another branch than a real trial.
    """

    def __init__(self) -> None:
        super().__init__()
        self.guessed = False

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if not (args and isinstance(args[0], torch.Tensor) and args[0].is_meta):
            return func(*args, **kwargs)
        if func is torch.isfinite:
            return torch.ones(args[0].shape, dtype=torch.bool)
        self.guessed |= func in TRUTHS
        if func in SHAPED_BY_VALUES:
            return _moved(func(*_moved(args), **_moved(kwargs)), META)
        if func in TOLD or func in TRUTHS or (func is torch.Tensor.to and _leaves(args[1:], kwargs)):
            return func(*_moved(args), **_moved(kwargs))
        return func(*args, **kwargs)


def _leaves(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether the arguments of `Tensor.to` name another device than `META`."""
    for one in (*args, *kwargs.values()):
        device = one.device if isinstance(one, torch.Tensor) else one
        if isinstance(device, str | torch.device):
            return torch.device(device) != META
    return False


def _moved(value: Any, device: torch.device | None = None) -> Any:
    """`value` with its tensors on `device`; without `device`, with zeros for tensors without values."""
    if isinstance(value, torch.Tensor):
        if device is not None:
            return value.to(device)
        return torch.zeros(value.shape, dtype=value.dtype) if value.is_meta else value
    if isinstance(value, tuple | list):
        return tuple(_moved(one, device) for one in value)
    if isinstance(value, dict):
        return {name: _moved(one, device) for name, one in value.items()}
    return value
