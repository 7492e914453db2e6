"""What a run found: its ledger, tidy results, statistics, tables and figures.

    from flyp_sweep import RunFolder, make_table, read_evidence, render

    run = RunFolder("runs/quickstart")
    print(render(make_table([read_evidence(run)]), "markdown"))
    run.frame()             # one row per trial x alpha x split x metric, a pandas DataFrame
    run.predictions()       # one row per repeat x alpha x image of ID test and OOD

Names load their module when first used, so that reading a ledger imports neither pandas nor scipy nor matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flyp_sweep.results.analysis.evidence import Evidence as Evidence
    from flyp_sweep.results.analysis.evidence import evidence_of as evidence_of
    from flyp_sweep.results.analysis.evidence import read_evidence as read_evidence
    from flyp_sweep.results.figures import frontier as frontier
    from flyp_sweep.results.figures import save_frontiers as save_frontiers
    from flyp_sweep.results.ledger.file import Ledger as Ledger
    from flyp_sweep.results.ledger.file import LedgerWarning as LedgerWarning
    from flyp_sweep.results.ledger.run_folder import RunFolder as RunFolder
    from flyp_sweep.results.ledger.tidy import tidy_frame as tidy_frame
    from flyp_sweep.results.metrics import METRICS as METRICS
    from flyp_sweep.results.statistics import Interval as Interval
    from flyp_sweep.results.statistics import confusion_matrix as confusion_matrix
    from flyp_sweep.results.statistics import mcnemar as mcnemar
    from flyp_sweep.results.statistics import mean_interval as mean_interval
    from flyp_sweep.results.statistics import reliability as reliability
    from flyp_sweep.results.tables.comparison import against_published as against_published
    from flyp_sweep.results.tables.formats import format_names as format_names
    from flyp_sweep.results.tables.formats import render as render
    from flyp_sweep.results.tables.layouts import layout_names as layout_names
    from flyp_sweep.results.tables.make import make_table as make_table
    from flyp_sweep.results.tables.options import TableOptions as TableOptions
    from flyp_sweep.results.tables.published import reprint as reprint
    from flyp_sweep.results.tables.table import Table as Table

_HOME = {
    "Evidence": "flyp_sweep.results.analysis.evidence",
    "Interval": "flyp_sweep.results.statistics",
    "Ledger": "flyp_sweep.results.ledger.file",
    "LedgerWarning": "flyp_sweep.results.ledger.file",
    "METRICS": "flyp_sweep.results.metrics",
    "TableOptions": "flyp_sweep.results.tables.options",
    "RunFolder": "flyp_sweep.results.ledger.run_folder",
    "Table": "flyp_sweep.results.tables.table",
    "against_published": "flyp_sweep.results.tables.comparison",
    "confusion_matrix": "flyp_sweep.results.statistics",
    "evidence_of": "flyp_sweep.results.analysis.evidence",
    "format_names": "flyp_sweep.results.tables.formats",
    "frontier": "flyp_sweep.results.figures",
    "layout_names": "flyp_sweep.results.tables.layouts",
    "make_table": "flyp_sweep.results.tables.make",
    "mcnemar": "flyp_sweep.results.statistics",
    "mean_interval": "flyp_sweep.results.statistics",
    "read_evidence": "flyp_sweep.results.analysis.evidence",
    "reliability": "flyp_sweep.results.statistics",
    "render": "flyp_sweep.results.tables.formats",
    "reprint": "flyp_sweep.results.tables.published",
    "save_frontiers": "flyp_sweep.results.figures",
    "tidy_frame": "flyp_sweep.results.ledger.tidy",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
