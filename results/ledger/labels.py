"""The records of a ledger with the labels that a user gives to methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from flyp_sweep.results.ledger.schema import Record, SelectionRecord
from flyp_sweep.results.naming import printed_method


def with_labels(records: Iterable[Record], labels: Mapping[str, str]) -> list[Record]:
    """The records, each selection with the label that its method is printed by; `labels` are by name of the method."""
    return [_labelled(one, labels) if isinstance(one, SelectionRecord) else one for one in records]


def _labelled(selection: SelectionRecord, labels: Mapping[str, str]) -> SelectionRecord:
    label = printed_method(selection.cell.method, selection.label, labels)
    return msgspec.structs.replace(selection, label=label)
