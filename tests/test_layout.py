"""Who may import whom: the table of DESIGN.md, section 4, and the tables of the rooms inside a package."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {"search_spaces", "trainers", "results", "orchestrator"}
FORBIDDEN = {
    "search_spaces": OURS - {"search_spaces"} | {"torch", "ray", "mlflow", "optuna"},
    "trainers": {"results", "orchestrator", "ray", "mlflow", "optuna"},
    "results": {"trainers", "orchestrator", "torch", "ray", "mlflow"},
    "orchestrator": set[str](),
}

ROOMS = {
    "trainers": {
        "errors": set[str](),
        "spec": set[str](),
        "schedule": set[str](),
        "seeding": set[str](),
        "hardware": set[str](),
        "plugins": set[str](),
        "distributed": set[str](),
        "datasets": {"plugins"},
        "data": {"datasets"},
        "models": {"data", "datasets"},
        "checkpoints": {"data", "spec"},
        "shared": {"data", "datasets", "hardware", "models"},
        "task": {"checkpoints", "data", "datasets", "distributed", "models", "seeding", "shared", "spec"},
        "evaluation": {"datasets", "models", "shared", "spec", "task"},
        "methods": {"datasets", "errors", "evaluation", "models", "plugins", "shared", "task"},
        "training": {"checkpoints", "distributed", "errors", "evaluation", "methods", "schedule", "spec", "task"},
        "ensembles": {"datasets", "errors", "evaluation", "methods", "plugins", "shared", "spec", "task", "training"},
        "exporting": {"data", "datasets", "ensembles", "methods", "models", "shared", "task"},
        "trial": {"ensembles", "evaluation", "methods", "spec", "task", "training"},
        "runner": {
            *("checkpoints", "data", "datasets", "distributed", "ensembles", "methods", "models", "shared", "spec"),
            *("task", "trial"),
        },
        "data_checks": {"data", "datasets"},
        "overview": {"data", "data_checks", "datasets"},
        "hyper_parameters": {"methods"},
        "ensemble_checks": {"ensembles"},
        "rehearsal": {
            *("data", "datasets", "errors", "hyper_parameters", "methods", "models", "shared", "spec", "task"),
            *("training", "trial"),
        },
        "text_checks": {"datasets", "hyper_parameters", "models"},
        "preflight": {
            *("data", "data_checks", "datasets", "ensemble_checks", "hyper_parameters", "methods", "models"),
            *("rehearsal", "schedule", "text_checks"),
        },
        "testing": {
            *("checkpoints", "data", "datasets", "ensembles", "errors", "evaluation", "exporting", "methods", "models"),
            *("shared", "spec", "task", "training", "trial"),
        },
    },
    "results": {
        "naming": set[str](),
        "files": set[str](),
        "metrics": set[str](),
        "statistics": set[str](),
        "ledger": {"naming"},
        "analysis": {"ledger", "naming", "statistics"},
        "tables": {"analysis", "metrics", "naming", "statistics"},
        "figures": {"analysis", "files", "naming", "statistics"},
        "report": {"analysis", "durations", "ledger", "metrics", "naming", "statistics", "tables"},
        "durations": set[str](),
        "running_rows": {"durations", "ledger", "naming"},
        "run_status": {"durations", "ledger"},
        "status_view": {"durations", "ledger", "run_status", "running_rows"},
        "outputs": {"analysis", "figures", "files", "ledger", "metrics", "report", "tables"},
    },
    "orchestrator": {
        "exit_codes": set[str](),
        "run_log": set[str](),
        "protocol": set[str](),
        "store": set[str](),
        "engine": {"exit_codes", "protocol"},
        "tracking": {"protocol", "run_log"},
        "runs": {"engine", "exit_codes", "protocol", "run_log", "store", "tracking"},
        "data_views": set[str](),
        "starter": set[str](),
        "cli": {"data_views", "exit_codes", "runs", "starter", "store", "tracking"},
    },
}
"""Package -> room -> the rooms that it may import. A package's `__init__.py`, which shows names of all, is no room."""

FILES_AND_CLOCKS = {
    "datetime",
    "io",
    "os",
    "pathlib",
    "shutil",
    "signal",
    "subprocess",
    "tempfile",
    "threading",
    "time",
}
"""Modules of the standard library."""


def imported(source: str) -> Iterator[tuple[int, list[str]]]:
    """Line and parts of the dotted name of every import, also inside functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: a relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}".split(".")) for alias in node.names)


def package_of(parts: list[str]) -> str:
    """The package that the tables speak of: of ours the one below `flyp_sweep`, of others the top-level one."""
    return parts[1] if parts[0] == "flyp_sweep" and len(parts) > 1 else parts[0]


def packages_imported(file: Path, forbidden: Collection[str]) -> list[str]:
    """Where a file imports one of the `forbidden` packages."""
    found = ((line, package_of(parts)) for line, parts in imported(file.read_text(encoding="utf-8")))
    return [f"{file.relative_to(ROOT)}:{line} imports {name}" for line, name in found if name in forbidden]


def files_of(package: str) -> dict[Path, str]:
    """File -> room, but for the package's own `__init__.py`."""
    files = {
        file: file.relative_to(ROOT / package).parts[0].removesuffix(".py") for file in ROOT.glob(f"{package}/**/*.py")
    }
    return {file: room for file, room in files.items() if room != "__init__"}


@pytest.mark.parametrize("package", ROOMS)
def test_a_room_imports_only_the_rooms_that_its_table_allows(package: str) -> None:
    wrong = [
        f"{file.relative_to(ROOT)}:{line} imports {parts[2]}"
        for file, room in files_of(package).items()
        for line, parts in imported(file.read_text(encoding="utf-8"))
        if parts[:2] == ["flyp_sweep", package] and parts[2:] and parts[2] not in {room} | ROOMS[package][room]
    ]
    assert not wrong


@pytest.mark.parametrize("package", ROOMS)
def test_the_table_of_rooms_is_whole_and_without_a_cycle(package: str) -> None:
    assert set(files_of(package).values()) == ROOMS[package].keys()
    graphlib.TopologicalSorter(ROOMS[package]).prepare()


@pytest.mark.parametrize("package", FORBIDDEN)
def test_a_package_imports_only_what_the_table_allows(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files, f"no files in {ROOT / package}"
    assert not [line for file in files for line in packages_imported(file, FORBIDDEN[package])]


def test_the_protocol_is_free_of_ray_files_and_clocks() -> None:
    files = sorted((ROOT / "orchestrator" / "protocol").rglob("*.py"))
    forbidden = {"ray", "mlflow", "torch", *FILES_AND_CLOCKS}
    assert not [line for file in files for line in packages_imported(file, forbidden)]


def test_pytest_is_needed_by_the_contracts_alone() -> None:
    files = [file for package in FORBIDDEN for file in (ROOT / package).rglob("*.py")]
    using = [file for file in files if packages_imported(file, {"pytest"})]
    contracts = [ROOT / "trainers" / "testing" / f"{kind}_contract.py" for kind in ("ensemble", "method", "reader")]
    assert sorted(using) == contracts


def test_every_package_of_the_project_is_in_the_table() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages - {"tests", "flyp_sweep"} == OURS == FORBIDDEN.keys()


def test_an_import_is_found_wherever_it_stands() -> None:
    source = (
        "import os, ray.tune\ndef f():\n    from mlflow.entities import Run\nif TYPE_CHECKING:\n    import torch\n"
        "from flyp_sweep.results import naming\nfrom flyp_sweep import trainers\n"
    )
    found = [parts for _, parts in imported(source)]
    assert {package_of(parts) for parts in found} == {"os", "ray", "mlflow", "torch", "results", "trainers"}
    assert ["flyp_sweep", "results", "naming"] in found
