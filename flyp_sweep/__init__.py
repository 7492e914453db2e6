"""flyp-sweep: experiment sweeps for robust fine-tuning of image-text models.

    from flyp_sweep import RunFolder, make_table, read_evidence, render

    run = RunFolder("runs/quickstart")
    print(render(make_table([read_evidence(run)]), "markdown"))

This module is the public API: what notebooks and plug-ins import. A name loads its module when it is first used, so
that a table needs no torch and a method no Ray.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flyp_sweep.results import METRICS as METRICS
    from flyp_sweep.results import Evidence as Evidence
    from flyp_sweep.results import Interval as Interval
    from flyp_sweep.results import Ledger as Ledger
    from flyp_sweep.results import LedgerWarning as LedgerWarning
    from flyp_sweep.results import RunFolder as RunFolder
    from flyp_sweep.results import Table as Table
    from flyp_sweep.results import TableOptions as TableOptions
    from flyp_sweep.results import against_published as against_published
    from flyp_sweep.results import confusion_matrix as confusion_matrix
    from flyp_sweep.results import make_table as make_table
    from flyp_sweep.results import mcnemar as mcnemar
    from flyp_sweep.results import mean_interval as mean_interval
    from flyp_sweep.results import read_evidence as read_evidence
    from flyp_sweep.results import reliability as reliability
    from flyp_sweep.results import render as render
    from flyp_sweep.results import reprint as reprint
    from flyp_sweep.results import save_frontiers as save_frontiers
    from flyp_sweep.results import tidy_frame as tidy_frame
    from flyp_sweep.search_spaces import Choice as Choice
    from flyp_sweep.search_spaces import InputError as InputError
    from flyp_sweep.search_spaces import IntRange as IntRange
    from flyp_sweep.search_spaces import LogUniform as LogUniform
    from flyp_sweep.search_spaces import SearchSpace as SearchSpace
    from flyp_sweep.search_spaces import Uniform as Uniform
    from flyp_sweep.search_spaces import dump as dump
    from flyp_sweep.search_spaces import from_mapping as from_mapping
    from flyp_sweep.search_spaces import load as load
    from flyp_sweep.trainers.datasets.base import Dataset as Dataset
    from flyp_sweep.trainers.datasets.base import Split as Split
    from flyp_sweep.trainers.ensembles.base import Ensemble as Ensemble
    from flyp_sweep.trainers.ensembles.base import Members as Members
    from flyp_sweep.trainers.ensembles.base import Mixture as Mixture
    from flyp_sweep.trainers.ensembles.base import Soup as Soup
    from flyp_sweep.trainers.exporting.exported import ExportedModel as ExportedModel
    from flyp_sweep.trainers.methods.base import Batch as Batch
    from flyp_sweep.trainers.methods.base import GradientMethod as GradientMethod
    from flyp_sweep.trainers.methods.base import Group as Group
    from flyp_sweep.trainers.methods.base import ImageClassifier as ImageClassifier
    from flyp_sweep.trainers.methods.base import Method as Method
    from flyp_sweep.trainers.methods.base import SolvedMethod as SolvedMethod
    from flyp_sweep.trainers.methods.base import Step as Step
    from flyp_sweep.trainers.methods.domains import Number as Number
    from flyp_sweep.trainers.methods.portable import Adapter as Adapter
    from flyp_sweep.trainers.methods.portable import NotPortable as NotPortable
    from flyp_sweep.trainers.methods.portable import Portable as Portable
    from flyp_sweep.trainers.methods.portable import Votes as Votes
    from flyp_sweep.trainers.runner import TrialRunner as TrialRunner
    from flyp_sweep.trainers.spec import Epoch as Epoch
    from flyp_sweep.trainers.spec import TrialResult as TrialResult
    from flyp_sweep.trainers.spec import TrialSpec as TrialSpec
    from flyp_sweep.trainers.task import Task as Task
    from flyp_sweep.trainers.training.fitted import Fitted as Fitted

__version__ = "0.2.0"

_HOMES = {
    "results": (
        "Evidence",
        "Interval",
        "Ledger",
        "LedgerWarning",
        "METRICS",
        "RunFolder",
        "Table",
        "TableOptions",
        "against_published",
        "confusion_matrix",
        "make_table",
        "mcnemar",
        "mean_interval",
        "read_evidence",
        "reliability",
        "render",
        "reprint",
        "save_frontiers",
        "tidy_frame",
    ),
    "search_spaces": (
        "Choice",
        "InputError",
        "IntRange",
        "LogUniform",
        "SearchSpace",
        "Uniform",
        "dump",
        "from_mapping",
        "load",
    ),
    "trainers.datasets.base": ("Dataset", "Split"),
    "trainers.ensembles.base": ("Ensemble", "Members", "Mixture", "Soup"),
    "trainers.exporting.exported": ("ExportedModel",),
    "trainers.methods.base": ("Batch", "GradientMethod", "Group", "ImageClassifier", "Method", "SolvedMethod", "Step"),
    "trainers.methods.domains": ("Number",),
    "trainers.methods.portable": ("Adapter", "NotPortable", "Portable", "Votes"),
    "trainers.runner": ("TrialRunner",),
    "trainers.spec": ("Epoch", "TrialResult", "TrialSpec"),
    "trainers.task": ("Task",),
    "trainers.training.fitted": ("Fitted",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
