"""The product uses public names of other libraries alone, and changes none of their modules and classes."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("flyp_sweep", "orchestrator", "trainers", "results", "search_spaces")
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
    foreign = foreign_imports(tree)
    own = OWN | names_defined(tree)
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Import):
            yield from (f"{line}: import {a.name}" for a in node.names if any(map(is_private, a.name.split("."))))
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("flyp_sweep"):
            if any(map(is_private, (node.module or "").split("."))):
                yield f"{line}: from {node.module} import ..."
            yield from (f"{line}: from {node.module} import {a.name}" for a in node.names if is_private(a.name))
        elif isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own:
            module = foreign.get(root_of(node) or "", "")
            if not (isinstance(node.value, ast.Name) and module and exported(module, node.attr)):
                yield f"{line}: {ast.unparse(node)}"
        elif isinstance(node, ast.Call):
            yield from (
                f"{line}: {k.arg}=..." for k in node.keywords if k.arg and is_private(k.arg) and k.arg not in own
            )
            if isinstance(node.func, ast.Name) and node.func.id in ("getattr", "setattr", "delattr"):
                target, name = node.args[0], node.args[1]
                if isinstance(name, ast.Constant) and is_private(name.value) and name.value not in own:
                    yield f"{line}: {ast.unparse(node)}"
                if node.func.id != "getattr" and root_of(target) in foreign:
                    yield f"{line}: {ast.unparse(node)}"
        targets = node.targets if isinstance(node, ast.Assign | ast.Delete) else []
        targets = [node.target] if isinstance(node, ast.AugAssign | ast.AnnAssign) else targets
        for target in targets:
            for part in target.elts if isinstance(target, ast.Tuple | ast.List) else [target]:
                if isinstance(part, ast.Attribute) and root_of(part) in foreign:
                    yield f"{line}: {ast.unparse(part)} is assigned"


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
