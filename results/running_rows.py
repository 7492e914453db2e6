"""How running trials and their cells are shown, on the board of `run` and in `flyp-sweep status`: the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flyp_sweep.results.durations import duration, seconds_ago
from flyp_sweep.results.ledger.running_trials import RunningTrial
from flyp_sweep.results.naming import shots_label
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.complaints import counted

T = TypeVar("T")

GAP = 2
"""Characters between two columns."""
WIDE = 100
"""Characters of a terminal from which on hyper-parameters are shown."""


class CellNames:
    """Short names of the cells of one sweep: what all of them have in common is in `common`, to be said once.

    E.g. `digits, digits-clip, full` and the names `ft` and `flyp`. The method is always in the name.
    """

    def __init__(self, cells: Iterable[Cell]) -> None:
        parts = {cell: (cell.dataset, cell.model, shots_label(cell.shots)) for cell in cells}
        columns = list(zip(*parts.values(), strict=True)) or [(), (), ()]
        same = [len(set(column)) == 1 for column in columns]
        self.common = ", ".join(column[0] for column, is_same in zip(columns, same, strict=True) if is_same)
        self._names = {
            cell: "/".join([*(part for part, is_same in zip(own, same, strict=True) if not is_same), cell.method])
            for cell, own in parts.items()
        }

    def of(self, cell: Cell) -> str:
        """The short name of a cell; of one that is not of the sweep, the whole key."""
        return self._names.get(cell, cell.key)


def left_now(trial: RunningTrial) -> float | None:
    """The seconds that the epochs of the trial will still take from now on; None before the first has ended."""
    left = trial.seconds_left
    return None if left is None else max(0.0, left - seconds_ago(trial.updated))


def what(trial: RunningTrial) -> str:
    """Which trial of its cell this is: `config 3/8`, with its seed if others have the same, or `seed 2`."""
    if trial.config is None:
        return f"seed {trial.seed}"
    number = f"config {trial.config}" + (f"/{trial.configs}" if trial.configs else "")
    return f"{number} seed {trial.seed}" if trial.seed else number


def state(trial: RunningTrial) -> tuple[str, str, str]:
    """How far the trial has come: `epoch 3/12`, its last score, its time left in words."""
    last = trial.last
    epoch = f"epoch {trial.done}/{trial.planned_epochs}"
    if last is None:
        return epoch, "", "starts"
    left = left_now(trial)
    words = "evaluates" if trial.is_trained else "" if left is None else f"{duration(left)} left"
    return epoch, f"{100 * last.score:.1f}%", words


def running_part(
    trials: Sequence[RunningTrial], names: CellNames, most: int | None = None, *, wide: bool = False
) -> list[RenderableType]:
    """A heading and the `running_table`; nothing where no trial runs."""
    heading = f"running: {counted(len(trials), 'trial')}, last score on ID validation data"
    return [Text(heading, style="bold"), running_table(trials, names, most, wide=wide)] if trials else []


def running_table(
    trials: Sequence[RunningTrial], names: CellNames, most: int | None = None, *, wide: bool = False
) -> RenderableType:
    """A row per running trial: method, stage, configuration or seed, epoch, last score on `id_val`, time left.

    At most `most` lines; the last one then says how many trials are left out. A `wide` one has hyper-parameters too,
    and the nodes if there are several.
    """
    table = rows(8 if wide else 6, right=(3, 4, 5), flexible=(0, 6))
    shown = cut(trials, most)
    several = len({trial.node for trial in trials if trial.node}) > 1
    for trial in shown:
        more = [short(settings(trial.hparams)), trial.node if several else ""] if wide else []
        table.add_row(short(names.of(trial.cell)), trial.stage, what(trial), *state(trial), *more)
    return with_rest(table, len(trials) - len(shown))


def with_rest(table: Table, left_out: int, more: str = "more") -> RenderableType:
    """The table, and below it how many rows it leaves out."""
    return Group(table, short(f"and {left_out:,} {more}")) if left_out else table


def settings(hparams: Mapping[str, Any], between: str = " ") -> str:
    """Hyper-parameters with three digits, e.g. `lr=0.000845 weight_decay=0.1`."""
    return between.join(
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}" for name, value in hparams.items()
    )


def rows(columns: int, right: Iterable[int] = (), flexible: Iterable[int] = (0,)) -> Table:
    """A table without lines and headings. `flexible` columns give way where there is no room; see `short`."""
    table = Table.grid(padding=(0, GAP, 0, 0))
    for index in range(columns):
        at = "right" if index in right else "left"
        table.add_column(no_wrap=index not in flexible, justify=at)  # type: ignore[arg-type]
    return table


def short(text: str) -> Text:
    """A text for a flexible column: cut at its end where there is no room, and never broken into two lines."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def cut(items: Sequence[T], most: int | None) -> Sequence[T]:
    """The first items, so that with a row that counts the rest there are `most` rows; all items if they fit."""
    return items if most is None or len(items) <= most else items[: max(0, most - 1)]


def open_first(items: Sequence[T], is_over: Callable[[T], bool], most: int | None) -> list[T]:
    """The items of a table of `most` rows, in their order: those that are over go first where there is no room."""
    first = sorted(range(len(items)), key=lambda at: is_over(items[at]))
    return [items[at] for at in sorted(cut(first, most))]


def shares(cells: int, trials: int, lines: int) -> tuple[int, int]:
    """How many of the `lines` the rows of cells and of trials get: trials half of them at least, if they need it."""
    lines = max(2, lines)
    for_trials = min(trials, max(lines // 2, lines - cells))
    return lines - for_trials, for_trials


def in_short(trials: Sequence[RunningTrial], names: CellNames, most: int = 3) -> str:
    """Running trials for a line: `flyp config 3/8 epoch 4/12 (81.2%), ft seed 2 epoch 1/12 (79.0%) and 5 more`."""
    told = []
    for trial in trials[:most]:
        epoch, score, _ = state(trial)
        told.append(" ".join(filter(None, [names.of(trial.cell), what(trial), epoch, f"({score})" if score else ""])))
    more = len(trials) - len(told)
    return ", ".join(told) + (f" and {more:,} more" if more else "")
