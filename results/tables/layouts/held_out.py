"""Leave-one-out and k-fold: the data sets that one entry of the search space stands for, as one table."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from flyp_sweep.results.analysis.evidence import SIDE_LABELS, Measure, Side
from flyp_sweep.results.analysis.protocol_blocks import Block
from flyp_sweep.results.naming import block_title
from flyp_sweep.results.statistics.two_ways import SEEDS_AND_EXAMPLES
from flyp_sweep.results.tables.columns import block_notes, mean_column, ood_column, rows_of, split_column
from flyp_sweep.results.tables.grid import Plan
from flyp_sweep.results.tables.layouts import Layout, per_shift
from flyp_sweep.results.tables.options import TableOptions
from flyp_sweep.results.tables.table import Column
from flyp_sweep.search_spaces.family import Family

Path = tuple[str, ...]
Make = Callable[[Block, Path], list[Column]]
Group = tuple[str, str, str, int | None]
MEAN = "mean OOD"


@dataclass(frozen=True)
class _Parts:
    """A family and its blocks of one model and shots, by data set; a part that nothing is known of yet has none."""

    family: Family
    blocks: dict[str, Block]

    @property
    def first(self) -> Block:
        return next(iter(self.blocks.values()))


def plans(blocks: Sequence[Block], options: TableOptions) -> list[Plan]:
    """A table per family, model and shots, then those of `per_shift` for data sets that stand alone.

    Every held-out domain is a column, followed by their mean. ID test and every other OOD set is a column that holds
    the mean over all data sets of the family. A mean is taken by seed, over data sets, so that its interval and its
    marks are those of any other column; a row that lacks a data set has none.
    """
    alone = [block for block in blocks if block.family is None]
    return [_plan(parts, options) for parts in _families(blocks)] + per_shift.plans(alone, options)


def _families(blocks: Iterable[Block]) -> list[_Parts]:
    groups: dict[Group, list[Block]] = {}
    for block in blocks:
        if block.family:
            key = block.family.name, block.family.kind, block.model, block.shots
            groups.setdefault(key, []).append(block)
    found = []
    for (name, kind, *_), group in groups.items():
        labels = {dataset: label for block in group if block.family for dataset, label in block.family.parts.items()}
        found.append(_Parts(Family(name, kind, labels), {block.dataset: block for block in group}))
    return found


def _plan(parts: _Parts, options: TableOptions) -> Plan:
    first, family = parts.first, parts.family
    columns = [column for side in options.sides("both") for column in _side(parts, side)]
    counts = [Column(("n",), "count", dataset, first.model, first.shots) for dataset in family.parts]
    blocks = list(parts.blocks.values())
    return Plan(
        block_title(family.name, first.model, first.shots),
        (*columns, mean_column(family.name, ("n",), counts)),
        rows_of(blocks),
        notes=(*_notes(family, columns, options), *block_notes(blocks)),
    )


def _side(parts: _Parts, side: Side) -> Iterator[Column]:
    """The held-out domains and their mean, then the means of the splits that all data sets have."""
    family, label = parts.family, SIDE_LABELS[side]
    if family.kind == "domain":
        paths = [(label, part) for part in family.parts.values()]
        own = _columns(parts, side, paths, partial(_held_out, side))
        if any(column.parts for column in own):
            yield from own
            yield replace(mean_column(family.name, (label, MEAN), own), role="mean_ood")
    shared = dict.fromkeys(one for block in parts.blocks.values() for one in block.measures if not _is_own(block, one))
    for measure in shared:
        path = (label, measure.heading)
        yield mean_column(family.name, path, _columns(parts, side, [path], partial(_measured, side, measure)))
    if family.kind != "domain" and sum(one.role == "ood" for one in shared) > 1:
        path = (label, MEAN)
        found = _columns(parts, side, [path], partial(_ood, side))
        yield mean_column(family.name, path, found)


def _columns(parts: _Parts, side: Side, paths: Sequence[Path], make: Make) -> list[Column]:
    """What `make` makes of the block of each data set; a column without numbers where that is nothing."""
    first, found = parts.first, []
    for dataset, path in zip(parts.family.parts, itertools.cycle(paths), strict=False):
        block = parts.blocks.get(dataset)
        made = make(block, path) if block else []
        found.append(made[0] if made else Column(path, "number", dataset, first.model, first.shots, side))
    metric = next((column.metric for column in found if column.parts), "")
    return [column if column.parts else replace(column, metric=metric) for column in found]


def _is_own(block: Block, measure: Measure) -> bool:
    """Whether it was measured on the domain that was held out for this data set."""
    family = block.family
    return family is not None and family.kind == "domain" and measure.split == family.parts[block.dataset]


def _held_out(side: Side, block: Block, path: Path) -> list[Column]:
    own = [measure for measure in block.measures if _is_own(block, measure)]
    block.single_metric(own)
    return [replace(split_column(block, side, path[:-1], measure), headline=True) for measure in own]


def _ood(side: Side, block: Block, path: Path) -> list[Column]:
    return ood_column(block, side, path)


def _measured(side: Side, measure: Measure, block: Block, path: Path) -> list[Column]:
    return [split_column(block, side, path[:-1], measure)] if measure in block.measures else []


def _notes(family: Family, columns: Iterable[Column], options: TableOptions) -> list[str]:
    means = [column for column in columns if column.over]
    names = ", ".join(dict.fromkeys(column.name for column in means))
    notes = [f"{names}: by seed the mean over {family.told}, then the mean over seeds"] if names else []
    if options.interval == SEEDS_AND_EXAMPLES and family.kind == "domain" and any(m.role == "id_test" for m in means):
        notes.append("ID: no interval over images where the ID test splits of two data sets have common images")
    return notes


LAYOUT = Layout(plans)
