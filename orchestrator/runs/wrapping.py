"""Prose on a terminal: lines that break between words, and never inside a path, a command or a number."""

from __future__ import annotations

import textwrap

from rich.console import Console


def wrapped(line: str, console: Console) -> list[str]:
    """Prose for `console`: on a terminal in lines that break between words, elsewhere as one line."""
    if not console.is_terminal:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()))
    return textwrap.wrap(
        line, console.width, subsequent_indent=f"{indent}  ", break_long_words=False, break_on_hyphens=False
    )
