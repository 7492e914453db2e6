"""The package as users get it: a wheel or an sdist of this tree, installed where nothing of the tree is on the path."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("flyp_sweep", "search_spaces", "trainers", "results", "orchestrator")
FILES = ("pyproject.toml", "README.md", "LICENSE")
NOT_OURS = shutil.ignore_patterns("__pycache__", "*.egg-info")


def copy_of_tree(to: Path) -> Path:
    """What the package is made of, as git has it: symbolic links stay links."""
    to.mkdir()
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, to / folder, symlinks=True, ignore=NOT_OURS)
    for file in FILES:
        shutil.copy(ROOT / file, to / file)
    return to


def make_wheel(source: Path, to: Path) -> Path:
    """The wheel of a tree or an sdist, made without an index by the setuptools that is installed."""
    python("-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index", "-w", to, source)
    (wheel,) = to.glob("*.whl")
    return wheel


def make_sdist(tree: Path, to: Path) -> Path:
    code = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"
    python("-c", code, to, cwd=tree)
    (sdist,) = to.glob("*.tar.gz")
    return sdist


def install(wheel: Path, folder: Path) -> Path:
    """The folder of commands of a new environment that holds the wheel, and all libraries of this one.

    The libraries come by a line of a `.pth` file. Python reads no `.pth` files in folders that come by one, so that an
    editable install of this tree has no effect there.
    """
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    libraries = [sysconfig.get_paths()[key] for key in ("purelib", "platlib")]
    (packages / "libraries.pth").write_text("".join(f"{path}\n" for path in libraries))
    commands = folder / "bin"
    python(
        "-m", "pip", "install", "--no-deps", "--no-index", "--ignore-installed", wheel, executable=commands / "python"
    )
    return commands


def python(*arguments: str | Path, cwd: Path | None = None, executable: str | Path = sys.executable) -> str:
    """What Python prints with these arguments, and without a Python path, which may lead to this tree."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
