"""Who may import whom: the table of DESIGN.md, section 4."""

from __future__ import annotations

import ast
from collections.abc import Iterator
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


def imports(source: str) -> Iterator[tuple[int, str]]:
    """Line and top-level package of every import, also inside functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, package_of(alias.name)) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: a relative import"
            if node.module == "flyp_sweep":
                yield from ((node.lineno, alias.name) for alias in node.names)
            else:
                yield node.lineno, package_of(node.module or "")


def package_of(module: str) -> str:
    """The package that the tables speak of: of ours the one below `flyp_sweep`, of others the top-level one."""
    first, _, rest = module.partition(".")
    return rest.partition(".")[0] if first == "flyp_sweep" else first


@pytest.mark.parametrize("package", FORBIDDEN)
def test_a_package_imports_only_what_the_table_allows(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files, f"no files in {ROOT / package}"
    wrong = [
        f"{file.relative_to(ROOT)}:{line} imports {name}"
        for file in files
        for line, name in imports(file.read_text(encoding="utf-8"))
        if name in FORBIDDEN[package]
    ]
    assert not wrong


def test_pytest_is_needed_by_the_contract_of_methods_alone() -> None:
    files = [file for package in FORBIDDEN for file in (ROOT / package).rglob("*.py")]
    using = [file for file in files if "pytest" in {name for _, name in imports(file.read_text(encoding="utf-8"))}]
    assert using == [ROOT / "trainers" / "testing" / "method_contract.py"]


def test_every_package_of_the_project_is_in_the_table() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages - {"tests", "flyp_sweep"} == OURS == FORBIDDEN.keys()


def test_an_import_is_found_wherever_it_stands() -> None:
    source = "import os, ray.tune\ndef f():\n    from mlflow.entities import Run\nif TYPE_CHECKING:\n    import torch\n"
    assert {name for _, name in imports(source)} == {"os", "ray", "mlflow", "torch"}
