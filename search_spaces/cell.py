"""A cell: one (dataset, model, shots, method), the unit that is searched, selected, repeated and tabulated."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

WITH = "+"
"""No method has it in its name."""


@dataclass(frozen=True, order=True)
class Cell:
    """One row-and-column of the final table.

    `dataset` and `model` are display names that are unique within a search space; `shots` is the number of training
    images per class, or None for the whole training split. Ensembles of the trials of another cell have a cell of their
    own, whose `method` names both, e.g. `flyp+greedy_soup`.
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

    @property
    def base(self) -> Cell:
        """The cell of whose trials its ensembles are made; itself where it holds none."""
        return replace(self, method=self.method.partition(WITH)[0])

    @property
    def ensemble(self) -> str:
        """The name of the ensemble that it holds; empty in a cell of trials that are no ensembles."""
        return self.method.partition(WITH)[2]

    def ensembled(self, ensemble: str) -> Cell:
        """The cell of this `ensemble` of its trials."""
        return replace(self, method=f"{self.method}{WITH}{ensemble}")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Cell:
        return cls(**data)
