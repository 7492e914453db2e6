"""Quantities in words."""

from __future__ import annotations


def size(count: int) -> str:
    """A number of bytes in words."""
    for unit, one in (("GB", 10**9), ("MB", 10**6)):
        if count >= one:
            return f"{count / one:.1f} {unit}"
    return f"{max(1, round(count / 1000))} kB"
