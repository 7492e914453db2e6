"""Packages as pip leaves them: modules, and beside them a folder that says what they are."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

OUTSIDE = Path(__file__).parent / "outside"
"""A package of somebody else's: a method and an ensemble, which README and docs show, and a data set."""


def install(folder: Path, name: str, points: Mapping[str, Mapping[str, str]], version: str = "1.0") -> None:
    """Say in `folder` that package `name` is installed there, with entry points: group -> name -> module:Class."""
    facts = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in its.items()) for group, its in points.items()
    ]
    (facts / "entry_points.txt").write_text("\n".join(lines))


def install_outside(folder: Path) -> None:
    """Install the package of somebody else's into `folder`."""
    shutil.copytree(OUTSIDE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    install(
        folder,
        "robust-things",
        {
            "flyp_sweep.methods": {"distilled": "distilled:Distilled"},
            "flyp_sweep.ensembles": {"surest": "surest:Surest"},
            "flyp_sweep.datasets": {"upright": "upright:Upright"},
        },
    )
