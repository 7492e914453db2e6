"""Every benchmark can be loaded. What it measures is looked at when it is run."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith(("_", "test_")))
)
def test_it_finds_all_that_it_imports(name: str) -> None:
    import_module(name)
