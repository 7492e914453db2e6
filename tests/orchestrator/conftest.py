from __future__ import annotations

import pytest
from ledgers import Example
from sweeps import plans_of, space_of


@pytest.fixture(scope="session")
def plans():
    return plans_of(space_of())


@pytest.fixture
def example() -> Example:
    return Example()
