"""The layouts of tables: every module in this folder is one, by its own name, and holds it as `LAYOUT`.

Their names are those of the files, so that the command line can list them without importing statistics.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from flyp_sweep.search_spaces.errors import InputError, nearest

if TYPE_CHECKING:
    from flyp_sweep.results.analysis.protocol_blocks import Block
    from flyp_sweep.results.tables.grid import Plan
    from flyp_sweep.results.tables.options import TableOptions

AUTO = "auto"
"""The layout that is natural for what was run: see `results.tables.make.natural_layout`."""


@dataclass(frozen=True)
class Layout:
    """From blocks of cells to the plans of tables; `may_repeat`: the same cell of several runs may stand in rows."""

    plans: Callable[[Sequence[Block], TableOptions], list[Plan]]
    may_repeat: bool = False


def layout_names() -> list[str]:
    """The names of all layouts, `auto` not among them."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def layout_of(name: str) -> Layout:
    """The layout of that name. Raises InputError where there is none."""
    names = layout_names()
    if name not in names:
        raise InputError(f"found layout {name!r}{nearest(name, names)}, expected auto or one of {', '.join(names)}")
    layout = import_module(f"{__name__}.{name}").LAYOUT
    assert isinstance(layout, Layout)
    return layout
