"""What `flyp_sweep` offers to notebooks and plug-ins: every name is there, typed, and imports no more than it needs."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import flyp_sweep

SOURCE = Path(flyp_sweep.__file__)
EVIDENCE = "RunFolder, TableOptions, make_table, render"


def typed() -> dict[str, str]:
    """Name -> the module that type checkers find it in."""
    (block,) = [node for node in ast.parse(SOURCE.read_text()).body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module or "" for node in imports for alias in node.names}


def test_type_checkers_see_the_names_that_there_are() -> None:
    assert sorted(typed()) == flyp_sweep.__all__
    assert (SOURCE.parent / "py.typed").is_file()


@pytest.mark.parametrize("name", flyp_sweep.__all__)
def test_a_name_is_what_type_checkers_take_it_for(name: str) -> None:
    assert getattr(flyp_sweep, name) is getattr(importlib.import_module(typed()[name]), name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'flyp_sweep' has no attribute 'Resutls'"):
        flyp_sweep.Resutls  # noqa: B018


@pytest.mark.parametrize(
    ("names", "unwanted"),
    [
        (EVIDENCE, {"torch", "ray", "mlflow", "optuna"}),
        ("Method, GradientMethod, Task, TrialRunner", {"ray", "mlflow", "optuna"}),
        ("SearchSpace, load", {"torch", "ray", "mlflow", "optuna", "pandas", "numpy"}),
    ],
)
def test_a_table_needs_no_torch_and_a_method_no_ray(names: str, unwanted: set[str]) -> None:
    code = f"import sys; from flyp_sweep import {names}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not unwanted & set(done.stdout.split())
