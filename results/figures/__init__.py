"""The figures of a run: the ID-OOD frontier, bars by OOD set, training curves, the search, what models predict.

A new figure is a module with a function that gives `Drawn`, and a line in `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from flyp_sweep.results.analysis.best_repeats import Predicted
from flyp_sweep.results.analysis.by_split import split_bars
from flyp_sweep.results.analysis.cells import cell_results
from flyp_sweep.results.analysis.evidence import Evidence
from flyp_sweep.results.analysis.importances import Importance, importances_of
from flyp_sweep.results.analysis.protocol_blocks import Block, blocks_of
from flyp_sweep.results.analysis.searches import CellSearch
from flyp_sweep.results.analysis.training_curves import SeedCurve, curves_of
from flyp_sweep.results.figures.by_shots import draw_shots
from flyp_sweep.results.figures.by_split import draw_splits
from flyp_sweep.results.figures.classes import draw_classes
from flyp_sweep.results.figures.confusion import draw_confusion
from flyp_sweep.results.figures.id_ood import draw_frontiers, frontier, save_frontiers
from flyp_sweep.results.figures.importance import draw_importance
from flyp_sweep.results.figures.landscape import draw_sensitivity
from flyp_sweep.results.figures.modes import for_both_modes
from flyp_sweep.results.figures.reliability import draw_reliability
from flyp_sweep.results.figures.style import (
    SUFFIXES,
    Drawn,
    SavedFigures,
    file_of,
    for_paper,
    save,
    save_all,
    save_one,
)
from flyp_sweep.results.figures.training import draw_training

__all__ = [
    "KINDS",
    "LOOKS",
    "SUFFIXES",
    "Drawn",
    "Material",
    "SavedFigures",
    "draw",
    "file_of",
    "for_both_modes",
    "frontier",
    "save",
    "save_all",
    "save_frontiers",
    "save_one",
]


@dataclass(frozen=True)
class Material:
    """What the figures of one run are made of; `labels` are how splits are printed, methods have theirs already."""

    frame: pd.DataFrame
    evidence: Evidence
    searches: Sequence[CellSearch]
    curves: Mapping[str, SeedCurve] = field(default_factory=dict)
    read_predicted: Callable[[], Predicted] = Predicted
    labels: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def blocks(self) -> list[Block]:
        """The cells of the run, as tables put them together."""
        return blocks_of(cell_results(self.evidence))

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
    "ood": lambda material: draw_splits(split_bars(material.blocks), material.labels),
    "shots": lambda material: draw_shots([material.evidence]),
    "training": lambda material: draw_training(curves_of(material.blocks, material.curves)),
    "sensitivity": lambda material: draw_sensitivity(material.searches),
    "importance": lambda material: draw_importance(material.importances),
    "reliability": lambda material: draw_reliability(material.predicted),
    "classes": lambda material: draw_classes(material.predicted),
    "confusion": lambda material: draw_confusion(material.predicted),
}
LOOKS = ("screen", "paper")


def draw(material: Material, kinds: Sequence[str] = tuple(KINDS), look: str = "screen") -> list[Drawn]:
    """The figures of a run, of some `kinds`, in one of `LOOKS`."""
    drawn = [KINDS[kind](material) for kind in kinds]
    if look == "paper":
        for one in drawn:
            for figure in one.figures.values():
                for_paper(figure)
    return drawn
