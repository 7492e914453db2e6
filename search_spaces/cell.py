"""A cell: one (dataset, model, shots, method), the unit that is searched, selected, repeated and tabulated."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, order=True)
class Cell:
    """One row-and-column of the final table.

    `dataset` and `model` are display names that are unique within a search space; `shots` is the number of training
    images per class, or None for the whole training split.
    """

    dataset: str
    model: str
    shots: int | None
    method: str

    @property
    def key(self) -> str:
        """A readable identity, e.g. `digits/digits-clip/full/flyp`."""
        shots = "full" if self.shots is None else f"{self.shots}-shot"
        return f"{self.dataset}/{self.model}/{shots}/{self.method}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Cell:
        return cls(**data)
