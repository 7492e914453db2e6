"""What came out, in sentences: which method is highest, which are shown to be lower, which cannot be told apart.

Every sentence rests on one column of the tables (ID test or mean OOD, without or with ensembling) and on its marks: the
same samples, the same paired differences, the same test with the same correction, among the same methods or against the
same control. Nothing else is computed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from flyp_sweep.results.analysis.evidence import SIDE_LABELS, SIDES, Side
from flyp_sweep.results.analysis.protocol_blocks import Block
from flyp_sweep.results.metrics import metric_of
from flyp_sweep.results.naming import ZEROSHOT
from flyp_sweep.results.report.sentences import Contender, claim, joined
from flyp_sweep.results.tables.columns import id_column, ood_column, rows_of
from flyp_sweep.results.tables.grid import Plan, PlannedRow
from flyp_sweep.results.tables.layouts import held_out
from flyp_sweep.results.tables.options import DEFAULTS, TableOptions
from flyp_sweep.results.tables.presentation import chosen_rows, printed_title
from flyp_sweep.results.tables.table import Column
from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.errors import InputError

_SEVERAL_METRICS = "No method is compared: the methods were measured by different metrics on the same split."
_COLUMNS: tuple[Callable[[Block, Side, tuple[str, ...]], list[Column]], ...] = (ood_column, id_column)


@dataclass(frozen=True)
class BlockClaims:
    """The sentences of one (dataset, model, shots), or of the data sets of a family together."""

    title: str
    sentences: tuple[str, ...]


def claims_of(blocks: Iterable[Block], options: TableOptions = DEFAULTS) -> list[BlockClaims]:
    """The claims of every block: mean OOD first, then ID test; a block without a number says so.

    Of a family of data sets the claims are on the means over them, as in its table. The `options` are those of the
    tables: their methods alone are compared, with the control if there is one, under their labels.
    """
    blocks = list(blocks)
    own = [_of_block(block, options) for block in blocks if block.family is None]
    return own + _of_families([block for block in blocks if block.family], options)


def _of_block(block: Block, options: TableOptions) -> BlockClaims:
    try:
        columns = [one for make in _COLUMNS for side in SIDES for one in make(block, side, ("",))]
    except InputError:
        return BlockClaims(printed_title(block.title, options.labels), (_SEVERAL_METRICS,))
    return _of_plan(Plan(block.title, tuple(columns), rows_of([block])), options)


def _of_families(blocks: Sequence[Block], options: TableOptions) -> list[BlockClaims]:
    try:
        plans = held_out.plans(blocks, DEFAULTS)
    except InputError:
        return [BlockClaims(printed_title(block.title, options.labels), (_SEVERAL_METRICS,)) for block in blocks]
    found = []
    for plan in plans:
        means = [one for one in plan.columns if one.over and one.kind == "number" and one.headline]
        columns = sorted(means, key=lambda one: one.role == "id_test")
        parts = max((len(one.over) for one in columns), default=0)
        over = f": means over {counted(parts, 'data set')}" if parts else ""
        claims = _of_plan(replace(plan, columns=tuple(columns)), options)
        found.append(replace(claims, title=claims.title + over))
    return found


def _of_plan(plan: Plan, options: TableOptions) -> BlockClaims:
    """What the columns of a plan say, and which methods have no number in any of them."""
    rows = chosen_rows(plan.rows, options.methods)
    found = [(column, _contenders(rows, column)) for column in plan.columns if _is_told(rows, column)]
    sentences = []
    with_side = len({column.side for column, _ in found}) > 1
    for column, held in found:
        what, metric = _name(column, with_side, options.labels), metric_of(column.metric)
        sentences.append(claim(what, metric, held, options.control))
    without = [row.label for row in rows if not any(row.sample(column) for column in plan.columns)]
    if not found:
        sentences = ["No repeat has finished yet."]
    elif without:
        sentences.append(f"No number yet: {joined(without)}.")
    return BlockClaims(printed_title(plan.title, options.labels), tuple(sentences))


def _is_told(rows: Sequence[PlannedRow], column: Column) -> bool:
    """Whether the column says something of its side: the zero-shot model is the same on both."""
    held = [row for row in rows if row.sample(column)]
    return bool(held) and (column.side == "without" or any(row.method != ZEROSHOT for row in held))


def _contenders(rows: Sequence[PlannedRow], column: Column) -> list[Contender]:
    found = [(row, row.sample(column), row.held(column)) for row in rows]
    return [
        Contender(row.label, sample, max(cell.planned for cell in cells), row.method)
        for row, sample, cells in found
        if sample
    ]


def _name(column: Column, with_side: bool, labels: Mapping[str, str]) -> str:
    """E.g. `mean OOD accuracy with ensembling`, `OOD sketch macro F1`."""
    names = {"id_test": "ID test", "mean_ood": "mean OOD"}
    split = next(part.split for one in column.sources for part in one.parts)
    side = f" {SIDE_LABELS[column.side]}" if with_side else ""
    name = names.get(column.role, f"OOD {labels.get(split, split)}")
    return f"{name} {metric_of(column.metric).named}{side}"
