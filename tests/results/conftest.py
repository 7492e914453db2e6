from __future__ import annotations

import pytest
from ledgers import Example


@pytest.fixture
def example() -> Example:
    return Example()
