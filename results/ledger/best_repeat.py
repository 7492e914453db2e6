"""Which repeat of a cell stands for it as a model: the best on ID validation data, never by a test number."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Scored(Protocol):
    """What has a score and a loss on `id_val`, as trials and their outcomes do."""

    @property
    def score(self) -> float | None: ...

    @property
    def loss(self) -> float | None: ...


T = TypeVar("T", bound=Scored)


def best_repeat(repeats: Iterable[T]) -> T | None:
    """The repeat of highest score on `id_val` (ties: lower loss, then the first); None where none has a score."""
    able = [(one.score, -one.loss, one) for one in repeats if one.score is not None and one.loss is not None]
    return max(able, key=lambda one: one[:2], default=(0.0, 0.0, None))[2]
