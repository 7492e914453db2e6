"""What all tests have in common."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import SMALL
from finished import Finish, Finished, finishing


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this test session see."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session", autouse=True)
def own_cache(shared_folder: Path) -> Iterator[None]:
    """Sweeps share what tests compute, and leave the user's cache alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLYP_SWEEP_CACHE", str(shared_folder / "cache"))
        patch.setenv("HF_DATASETS_CACHE", str(shared_folder / "hugging_face"))
        if library := sys.modules.get("datasets"):  # it has read the environment already
            patch.setattr(library.config, "HF_DATASETS_CACHE", str(shared_folder / "hugging_face"))
        yield


@pytest.fixture(scope="session")
def finish(shared_folder: Path) -> Finish:
    """Runs a sweep to its end, once in this test session."""
    return finishing(shared_folder)


@pytest.fixture(scope="session")
def small(finish: Finish) -> Finished:
    """Four methods, searched and repeated, with frontiers."""
    return finish("small", SMALL)
