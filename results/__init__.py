"""What a run found: its ledger, tidy results, statistics, tables and figures.

    from results import RunFolder, comparison_table, render

    run = RunFolder("runs/quickstart")
    print(render(comparison_table(run.records()), "markdown"))
    run.frame()             # one row per trial x alpha x split x metric, a pandas DataFrame

Names load their module when first used, so that reading a ledger imports neither pandas nor scipy nor matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from results.comparison import comparison_table as comparison_table
    from results.figures import frontier as frontier
    from results.figures import save_frontiers as save_frontiers
    from results.formats import FORMATS as FORMATS
    from results.formats import render as render
    from results.ledger import Ledger as Ledger
    from results.ledger import LedgerWarning as LedgerWarning
    from results.run_folder import RunFolder as RunFolder
    from results.statistics import Interval as Interval
    from results.statistics import mean_interval as mean_interval
    from results.statistics import paired_t as paired_t
    from results.tables import Table as Table
    from results.tidy import tidy_frame as tidy_frame

_HOME = {
    "FORMATS": "results.formats",
    "Interval": "results.statistics",
    "Ledger": "results.ledger",
    "LedgerWarning": "results.ledger",
    "RunFolder": "results.run_folder",
    "Table": "results.tables",
    "comparison_table": "results.comparison",
    "frontier": "results.figures",
    "mean_interval": "results.statistics",
    "paired_t": "results.statistics",
    "render": "results.formats",
    "save_frontiers": "results.figures",
    "tidy_frame": "results.tidy",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'results' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
