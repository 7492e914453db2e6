"""What the report shows of the importance of hyper-parameters: a table per block, a row per method."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from flyp_sweep.results.analysis.importances import Importance
from flyp_sweep.results.naming import block_order, block_title, method_order


@dataclass(frozen=True)
class ImportanceView:
    """One block. `rows` hold the importances of a method and its shares in the order of `names`; `lacking` has none."""

    title: str
    names: tuple[str, ...]
    rows: tuple[tuple[Importance, tuple[float | None, ...]], ...]
    lacking: tuple[Importance, ...]


def importance_views(importances: Iterable[Importance]) -> list[ImportanceView]:
    """A view of every block in which a search varied several hyper-parameters."""
    ordered = sorted(importances, key=lambda one: (block_order(one.cell), method_order(one.cell.method)))
    return [_view(list(own)) for _, own in itertools.groupby(ordered, key=lambda one: block_order(one.cell))]


def _view(importances: list[Importance]) -> ImportanceView:
    cell, able = importances[0].cell, [one for one in importances if one.shares]
    names = tuple(dict.fromkeys(name for one in able for name in sorted(one.shares)))
    return ImportanceView(
        title=block_title(cell.dataset, cell.model, cell.shots),
        names=names,
        rows=tuple((one, tuple(one.shares.get(name) for name in names)) for one in able),
        lacking=tuple(one for one in importances if one.reason),
    )
