"""Printing a table: every module in this folder is a format, by its own name, and holds it as `FORMAT`.

Their names are those of the files, so that the command line can list them without importing statistics.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from flyp_sweep.search_spaces.errors import InputError, nearest

if TYPE_CHECKING:
    from flyp_sweep.results.tables.table import Table


@dataclass(frozen=True)
class Format:
    """How a table is printed, and the suffix of a file that holds it."""

    render: Callable[[Table], str]
    suffix: str


def format_names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def format_of(name: str) -> Format:
    """The format of that name. Raises InputError where there is none."""
    names = format_names()
    if name not in names:
        raise InputError(
            f"found format {name!r}{nearest(name, names)}, expected one of {', '.join(names)}; choose one of these"
        )
    style = import_module(f"{__name__}.{name}").FORMAT
    assert isinstance(style, Format)
    return style


def render(table: Table, format: str = "text") -> str:
    """`table` in a format. Raises InputError for a name that is none."""
    return format_of(format).render(table)
