"""What a run found: its ledger, tidy results, statistics, tables and figures.

    from results import RunFolder, make_table, render

    run = RunFolder("runs/quickstart")
    print(render(make_table([run.evidence()]), "markdown"))
    run.frame()             # one row per trial x alpha x split x metric, a pandas DataFrame

Names load their module when first used, so that reading a ledger imports neither pandas nor scipy nor matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from results.evidence import Evidence as Evidence
    from results.figures import frontier as frontier
    from results.figures import save_frontiers as save_frontiers
    from results.formats import FORMATS as FORMATS
    from results.formats import render as render
    from results.layouts import LAYOUTS as LAYOUTS
    from results.layouts import make_table as make_table
    from results.ledger import Ledger as Ledger
    from results.ledger import LedgerWarning as LedgerWarning
    from results.options import Options as Options
    from results.published import reprint as reprint
    from results.run_folder import RunFolder as RunFolder
    from results.statistics import Interval as Interval
    from results.statistics import mean_interval as mean_interval
    from results.tables import Table as Table
    from results.tidy import tidy_frame as tidy_frame
    from results.versus import against_published as against_published

_HOME = {
    "FORMATS": "results.formats",
    "LAYOUTS": "results.layouts",
    "Evidence": "results.evidence",
    "Interval": "results.statistics",
    "Ledger": "results.ledger",
    "LedgerWarning": "results.ledger",
    "Options": "results.options",
    "RunFolder": "results.run_folder",
    "Table": "results.tables",
    "against_published": "results.versus",
    "frontier": "results.figures",
    "make_table": "results.layouts",
    "mean_interval": "results.statistics",
    "render": "results.formats",
    "reprint": "results.published",
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
