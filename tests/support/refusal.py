"""Bad input is refused in one printable line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flyp_sweep.search_spaces.errors import InputError


def refused(call: Callable[[], object], *words: str) -> str:
    """The one line with which `call` refuses; `words` stand in it."""
    with pytest.raises(InputError) as no:
        call()
    line = str(no.value)
    assert line.isprintable()
    assert all(word in line for word in words), line
    return line
