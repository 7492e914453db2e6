"""What a command needs is all that it imports: each import is looked at in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    *("torch", "torch._dynamo", "torchvision", "open_clip", "timm", "ray", "mlflow", "optuna"),
    *("sklearn", "scipy", "pandas", "numpy", "matplotlib", "rich", "pydantic", "yaml"),
)

LIGHT = {
    "the words that every package shares": (
        "from flyp_sweep.search_spaces import cell, errors; from flyp_sweep import search_spaces;"
        "search_spaces.Cell, search_spaces.InputError",
        (),
    ),
    "a search space": ("from flyp_sweep import search_spaces; search_spaces.load('quickstart')", ("pydantic", "yaml")),
    "a ledger": ("import flyp_sweep.results.ledger.file, flyp_sweep.results.ledger.run_folder", ()),
    "the names of formats and layouts": (
        "from flyp_sweep.results.tables import formats, layouts; formats.format_names(), layouts.layout_names()",
        (),
    ),
    "report and figures": (
        "import flyp_sweep.results.report, flyp_sweep.results.figures",
        ("numpy", "scipy", "pandas", "matplotlib", "pydantic", "yaml"),
    ),
    "the bundled model's facts": ("import flyp_sweep.trainers.models.digits_clip", ()),
    "what a data set misses": (
        "from pathlib import Path; from flyp_sweep.trainers.datasets import make;"
        "made = [make(name, Path('nowhere')) for name in ('digits', 'imagenet', 'iwildcam', 'fmow')];"
        "assert all(one.class_names and one.templates for one in made);"
        "assert all(one.missing() for one in made[1:])",
        ("numpy", "pydantic"),
    ),
    "checks of a sweep with the bundled model": (
        "from pathlib import Path; from flyp_sweep.search_spaces.loading import load;"
        "from flyp_sweep.trainers import preflight; preflight.check(load('quickstart'), Path('data'))",
        ("torch", "torch._dynamo", "torchvision", "open_clip", "timm", "numpy", "pydantic", "yaml"),
    ),
    "all of trainers": (
        "import importlib, pkgutil; from flyp_sweep import trainers;"
        "names = [one.name for one in pkgutil.walk_packages(trainers.__path__, 'flyp_sweep.trainers.')];"
        "assert {'flyp_sweep.trainers.runner', 'flyp_sweep.trainers.methods.flyp'} <= {*names};"
        "[importlib.import_module(name) for name in names]",
        tuple(set(HEAVY) - {"ray", "mlflow", "optuna"}),
    ),
}


@pytest.mark.parametrize("what", LIGHT)
def test_it_imports_no_more_than_it_needs(what: str) -> None:
    code, needed = LIGHT[what]
    script = f"{code}\nimport sys; print(*set({HEAVY}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) <= set(needed)
