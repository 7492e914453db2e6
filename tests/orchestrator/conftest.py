from __future__ import annotations

import pytest
from sweeps import plans_of, space_of


@pytest.fixture(scope="session")
def plans():
    return plans_of(space_of())
