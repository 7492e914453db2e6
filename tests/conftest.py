"""What all tests have in common."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Sweeps share what tests compute, and leave the user's cache alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLYP_SWEEP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
