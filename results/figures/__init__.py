"""The figures of a run: the ID-OOD frontier, accuracy against shots, and the scores of the search.

A new figure is a module with a function that gives `Drawn`, and a line in `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from flyp_sweep.results.analysis.evidence import Evidence
from flyp_sweep.results.analysis.searches import CellSearch
from flyp_sweep.results.figures.by_shots import draw_shots
from flyp_sweep.results.figures.id_ood import draw_frontiers, frontier, save_frontiers
from flyp_sweep.results.figures.landscape import draw_sensitivity
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


KINDS: dict[str, Callable[[Material], Drawn]] = {
    "frontier": lambda material: draw_frontiers(material.frame),
    "shots": lambda material: draw_shots([material.evidence]),
    "sensitivity": lambda material: draw_sensitivity(material.searches),
}


def draw(material: Material, kinds: Sequence[str] = tuple(KINDS)) -> list[Drawn]:
    """The figures of a run, of some `kinds`."""
    return [KINDS[kind](material) for kind in kinds]
