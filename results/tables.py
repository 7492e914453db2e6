"""The comparison table as data: rows (methods) against columns (ID, OOD sets), without and with ensembling.

`results.comparison` fills it from a ledger, `results.formats` prints it; it knows nothing of either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from results.naming import ZEROSHOT, block_title, method_label
from results.statistics import Interval
from search_spaces.cell import Cell

Side = Literal["without", "with"]
State = Literal["planned", "running", "failed", "done"]

SIDES: tuple[Side, Side] = ("without", "with")
SIDE_LABELS: dict[Side, str] = {"without": "without ensembling", "with": "with ensembling"}

_DECIMALS = 1


@dataclass(frozen=True)
class Column:
    """A column of numbers: `name` as printed (ID, an OOD set, mean OOD), the role of its splits, and its metric."""

    name: str
    role: Literal["id_test", "ood", "mean_ood"]
    metric: str


@dataclass(frozen=True)
class Row:
    """One method. `values` holds fractions in [0, 1]; `n` counts the finished repeats of the `planned` ones."""

    cell: Cell
    state: State
    n: int
    planned: int
    values: Mapping[tuple[Side, Column], Interval]
    notes: tuple[str, ...] = ()
    selected_on: str = ""

    @property
    def label(self) -> str:
        return method_label(self.cell.method)

    @property
    def n_label(self) -> str:
        """`5`, `4 of 5`, or the state where there is no number yet."""
        if self.state != "done":
            return self.state
        return str(self.n) if self.n == self.planned else f"{self.n} of {self.planned}"


@dataclass(frozen=True)
class Block:
    """All methods of one (dataset, model, shots)."""

    dataset: str
    model: str
    shots: int | None
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    @property
    def title(self) -> str:
        return block_title(self.dataset, self.model, self.shots)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know about single rows: missing and failed repeats."""
        return tuple(f"{row.label}: {note}" for row in self.rows for note in row.notes)

    def is_best(self, row: Row, side: Side, column: Column) -> bool:
        """Whether the row leads the column as printed; ties lead together, and a lone number leads nothing."""
        means = [other.values[side, column].mean for other in self.rows if (side, column) in other.values]
        if len(means) < 2 or (side, column) not in row.values:
            return False
        return percent(row.values[side, column].mean) == percent(max(means))


@dataclass(frozen=True)
class Table:
    """The comparison table; the blocks of several tables make one again: `Table(a.blocks + b.blocks)`."""

    blocks: tuple[Block, ...]

    @property
    def caption(self) -> str:
        """What the numbers are: the metric, the kind of mean and interval, and what selection looked at."""
        rows = [row for block in self.blocks for row in block.rows]
        selected_on = sorted({row.selected_on for row in rows if row.selected_on}) or ["the primary metric"]
        return (
            f"{_metrics(self.blocks)} in %: mean over {_seeds(rows)} with its {_confidence(rows)} Student-t interval. "
            f"Hyper-parameters, epoch and mixing coefficient were selected on id_val {' / '.join(selected_on)}."
        )


def percent(fraction: float) -> str:
    """A fraction as a table prints it, e.g. 0.9512 as `95.1`."""
    return f"{100 * fraction:.{_DECIMALS}f}"


def _metrics(blocks: Sequence[Block]) -> str:
    """`Accuracy`, or which column holds which metric where they differ."""
    held: dict[str, list[str]] = {}
    for column in (column for block in blocks for column in block.columns):
        names = held.setdefault(column.metric.replace("_", " "), [])
        names += [] if column.name in names else [column.name]
    if len(held) > 1:
        return "; ".join(f"{', '.join(names)}: {metric}" for metric, names in held.items())
    return next(iter(held), "primary metric").capitalize()


def _seeds(rows: Sequence[Row]) -> str:
    counts = {row.n for row in rows if row.state == "done" and row.cell.method != ZEROSHOT}
    return f"{next(iter(counts))} seeds" if len(counts) == 1 and counts != {1} else "n seeds"


def _confidence(rows: Sequence[Row]) -> str:
    levels = sorted({interval.confidence for row in rows for interval in row.values.values()}) or [0.95]
    return " / ".join(f"{100 * level:g}%" for level in levels)
