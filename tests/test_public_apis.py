"""The product uses public names of other libraries alone, and changes none of their modules and classes."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("flyp_sweep", "orchestrator", "trainers", "results", "search_spaces")
REFLECTION = ("getattr", "setattr", "delattr")
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def root_of(node: ast.expr) -> str | None:
    """The name that a chain of attributes begins with: `a` of `a.b.c`."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def names_defined(tree: ast.AST) -> set[str]:
    """Private names that a file gives to its own functions, classes, variables and attributes of `self`."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and root_of(node) in ("self", "cls"):
            names.add(node.attr)
    return names


OWN = set[str]().union(*(names_defined(ast.parse(path.read_text(encoding="utf-8"))) for path in FILES))


def foreign_imports(tree: ast.AST) -> dict[str, str]:
    """Local name -> the foreign module, or the name in one, that an import binds to it."""
    bound = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if not alias.name.startswith("flyp_sweep"):
                    bound[alias.asname or alias.name.partition(".")[0]] = alias.name
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith(("flyp_sweep", "__future__")):
            bound |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return bound


def exported(module: str, name: str) -> bool:
    """Whether a module lists the name as public: `os.__all__` holds `_exit`."""
    return name in getattr(importlib.import_module(module), "__all__", ())


def faults(source: str) -> Iterator[str]:
    """Every use of a private foreign name, and every assignment onto a foreign module or class."""
    tree = ast.parse(source)
    foreign, own = foreign_imports(tree), OWN | names_defined(tree)
    for node in ast.walk(tree):
        found = [*faulty_import(node), *faulty_name(node, foreign, own), *faulty_assignment(node, foreign)]
        yield from (f"line {getattr(node, 'lineno', 0)}: {fault}" for fault in found)


def faulty_import(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if any(map(is_private, alias.name.split("."))))
    elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("flyp_sweep"):
        names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        yield from (f"{name} of {node.module}" for name in names if is_private(name))


def faulty_name(node: ast.AST, foreign: dict[str, str], own: set[str]) -> Iterator[str]:
    """A private attribute or keyword argument that is none of ours, also as the string of a `getattr`."""
    if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own:
        module = foreign.get(node.value.id) if isinstance(node.value, ast.Name) else None
        if not (module and exported(module, node.attr)):
            yield ast.unparse(node)
    elif isinstance(node, ast.Call):
        names = [keyword.arg for keyword in node.keywords if keyword.arg]
        if isinstance(node.func, ast.Name) and node.func.id in REFLECTION and isinstance(node.args[1], ast.Constant):
            names.append(node.args[1].value)
        yield from (f"{name} in {ast.unparse(node)}" for name in names if is_private(name) and name not in own)


def faulty_assignment(node: ast.AST, foreign: dict[str, str]) -> Iterator[str]:
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign | ast.Delete):
        targets = [part for one in node.targets for part in (one.elts if isinstance(one, ast.Tuple) else [one])]
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        targets = [node.target]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in REFLECTION[1:]:
        yield from (ast.unparse(node) for _ in range(root_of(node.args[0]) in foreign))
    yield from (ast.unparse(one) for one in targets if isinstance(one, ast.Attribute) and root_of(one) in foreign)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_uses_public_names_alone_and_assigns_to_no_foreign_module_or_class(path: Path) -> None:
    assert not list(faults(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "source",
    [
        "import ray._private.utils",
        "from ray._raylet import GcsClient",
        "from torch.nn.modules.batchnorm import _BatchNorm",
        "import ray\nray._private.worker.print_to_stdstream = None",
        "import ray\ndef f(controller): return controller._trial_to_actor",
        "import ray\nray.init(_node_ip_address='127.0.0.1')",
        "from ray import tune\ntune.Tuner.fit = None",
        "import warnings as w\nw.showwarning, x = None, 1",
        "import ray\nsetattr(ray, 'init', None)",
        "def f(client): return getattr(client, '_session')",
        "import os\nos._unsetenv",
    ],
)
def test_each_kind_of_fault_is_found(source: str) -> None:
    assert list(faults(source))


@pytest.mark.parametrize(
    "source",
    ["import os\nos._exit(1)", "class A:\n    def f(self):\n        self._x = 1\n", "import sys\nsys.path[:] = []"],
)
def test_what_is_public_or_ours_is_no_fault(source: str) -> None:
    assert not list(faults(source))
