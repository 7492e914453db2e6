"""The comparison table in GitHub-flavoured Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable

from results.formats.values import bracketed, entries
from results.tables import SIDE_LABELS, SIDES, Block, Row, Side, Table


def markdown(table: Table) -> str:
    """Per block a heading and two tables, without and with ensembling; the best of each column is bold."""
    parts = [part for block in table.blocks for part in _block(block)]
    return "\n\n".join([*parts, _escape(table.caption)]) + "\n"


def _block(block: Block) -> list[str]:
    parts = [f"### {_escape(block.title)}"]
    for side in SIDES:
        parts += [f"_{SIDE_LABELS[side]}_", _grid(block, side)]
    notes = "\n".join(rf"- \* {_escape(note)}" for note in block.notes)
    return parts + ([notes] if notes else [])


def _grid(block: Block, side: Side) -> str:
    header = ["method", *(_escape(column.name) for column in block.columns), "n"]
    rules = [":--", *("--:" for _ in block.columns), "--:"]
    return "\n".join(map(_line, [header, rules, *(_entries(block, row, side) for row in block.rows)]))


def _entries(block: Block, row: Row, side: Side) -> list[str]:
    values = entries(block, row, side, bracketed, "**{}**".format)
    return [_escape(row.label), *values, row.n_label + (r" \*" if row.notes else "")]


def _line(entries: Iterable[str]) -> str:
    return "| " + " | ".join(entries) + " |"


def _escape(text: str) -> str:
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", text)
