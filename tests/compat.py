"""`make compat`: the tests of whole sweeps on the oldest and on the newest libraries that pyproject.toml allows.

    .venv/bin/python tests/compat.py [--only oldest|newest] [TEST...]

Each set gets a virtual environment of its own in a temporary folder: some 7 GB with torch's CUDA wheels.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
TESTS = ("tests/orchestrator/test_sweep.py",)
OLDEST = (
    "ray[tune]==2.53.0",
    "mlflow==3.0.0",
    "optuna==4.0.0",
    "torch==2.11.0",
    "torchvision==0.26.0",
    "sqlalchemy==2.0.*",
)
"""Torch and torchvision are a pair. MLflow 3.0 cannot be imported with SQLAlchemy 2.1, but does not say so."""
SHOWN = ("ray", "mlflow", "optuna", "torch", "torchvision", "numpy", "pandas")


def pins() -> list[str]:
    """The lines of constraints.txt that pin a package."""
    return [line for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]


def needed_by(packages: Iterable[str]) -> set[str]:
    """These packages and all that they need, with the extras asked for, as installed here."""
    found: set[tuple[str, str]] = set()
    waiting = [Requirement(text) for text in packages]
    while waiting:
        wanted = waiting.pop()
        for extra in ("", *wanted.extras):
            key = canonicalize_name(wanted.name), extra
            if key not in found:
                found.add(key)
                needs = map(Requirement, requires_of(wanted.name))
                waiting += [one for one in needs if one.marker is None or one.marker.evaluate({"extra": extra})]
    return {name for name, _ in found}


def requires_of(package: str) -> list[str]:
    try:
        return requires(package) or []
    except PackageNotFoundError:
        return []


def oldest() -> list[str]:
    """Constraints: the oldest releases, and of the other pins those that these releases have no say in."""
    free = needed_by(OLDEST)
    kept = [pin for pin in pins() if canonicalize_name(pin.partition("==")[0]) not in free]
    return [*(pin.replace("[tune]", "") for pin in OLDEST), *kept]


SETS = {"oldest": oldest, "newest": list[str]}
"""Name -> constraints; the newest of all is what pip chooses without any."""


def passes(name: str, tests: Sequence[str]) -> bool:
    """Install a set of libraries and run `tests` on it."""
    with tempfile.TemporaryDirectory(prefix=f"flyp-sweep-{name}-") as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("".join(f"{line}\n" for line in SETS[name]()))
        venv.create(Path(folder) / "venv", with_pip=True)
        python = str(Path(folder) / "venv" / "bin" / "python")
        steps = [
            ["-m", "pip", "install", "--quiet", "--constraint", str(constraints), "--editable", f"{ROOT}[dev]"],
            [__file__, "--versions", name],
            ["-m", "pytest", *tests],
        ]
        return all(subprocess.run([python, *step], cwd=ROOT, check=False).returncode == 0 for step in steps)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tests", nargs="*", default=TESTS, metavar="TEST")
    parser.add_argument("--only", choices=SETS)
    parser.add_argument("--versions", metavar="SET", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.versions:
        print(f"{asked.versions}: " + ", ".join(f"{name} {version(name)}" for name in SHOWN), flush=True)
        return 0
    outcomes = {name: passes(name, asked.tests) for name in SETS if asked.only in (None, name)}
    for name, passed in outcomes.items():
        print(f"{name}: {'passed' if passed else 'FAILED'}")
    return 0 if all(outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
