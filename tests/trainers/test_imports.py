"""A trial runs where there is no Ray, no MLflow and no Optuna."""

from __future__ import annotations

import subprocess
import sys

BLOCKED = """
import importlib, pkgutil, sys
for name in ("ray", "mlflow", "optuna"):
    sys.modules[name] = None
from flyp_sweep import trainers
names = [module.name for module in pkgutil.walk_packages(trainers.__path__, "flyp_sweep.trainers.")]
for name in names:
    importlib.import_module(name)
print(*names)
"""


def test_every_module_of_trainers_imports_without_ray_mlflow_and_optuna() -> None:
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = set(done.stdout.split())
    assert {"flyp_sweep.trainers.runner", "flyp_sweep.trainers.preflight", "flyp_sweep.trainers.methods.flyp"} <= found
