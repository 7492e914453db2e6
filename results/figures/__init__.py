"""The figures of a run: the ID-OOD frontier, accuracy against shots, the search, calibration, confusion.

A new figure is a module with a function that gives `Drawn`, and a line in `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from flyp_sweep.results.analysis.best_repeats import Predicted
from flyp_sweep.results.analysis.evidence import Evidence
from flyp_sweep.results.analysis.importances import Importance, importances_of
from flyp_sweep.results.analysis.searches import CellSearch
from flyp_sweep.results.figures.by_shots import draw_shots
from flyp_sweep.results.figures.confusion import draw_confusion
from flyp_sweep.results.figures.id_ood import draw_frontiers, frontier, save_frontiers
from flyp_sweep.results.figures.importance import draw_importance
from flyp_sweep.results.figures.landscape import draw_sensitivity
from flyp_sweep.results.figures.reliability import draw_reliability
from flyp_sweep.results.figures.style import SUFFIXES, Drawn, SavedFigures, file_of, save, save_all, save_one

__all__ = [
    "KINDS",
    "SUFFIXES",
    "Drawn",
    "Material",
    "SavedFigures",
    "draw",
    "file_of",
    "frontier",
    "save",
    "save_all",
    "save_frontiers",
    "save_one",
]


@dataclass(frozen=True)
class Material:
    """What the figures of one run are made of."""

    frame: pd.DataFrame
    evidence: Evidence
    searches: Sequence[CellSearch]
    read_predicted: Callable[[], Predicted] = Predicted

    @cached_property
    def importances(self) -> list[Importance]:
        """How much of the scores each hyper-parameter explains; computed when a figure or the report needs it."""
        return importances_of(self.searches)

    @cached_property
    def predicted(self) -> Predicted:
        """What the best repeats predict; read when a figure needs it."""
        return self.read_predicted()


KINDS: dict[str, Callable[[Material], Drawn]] = {
    "frontier": lambda material: draw_frontiers(material.frame),
    "shots": lambda material: draw_shots([material.evidence]),
    "sensitivity": lambda material: draw_sensitivity(material.searches),
    "importance": lambda material: draw_importance(material.importances),
    "reliability": lambda material: draw_reliability(material.predicted),
    "confusion": lambda material: draw_confusion(material.predicted),
}


def draw(material: Material, kinds: Sequence[str] = tuple(KINDS)) -> list[Drawn]:
    """The figures of a run, of some `kinds`."""
    return [KINDS[kind](material) for kind in kinds]
