"""Lines for the user: some are logged too, and prose breaks between words, never inside a path, command or number."""

from __future__ import annotations

import logging
import textwrap

from rich.console import Console

log = logging.getLogger(__name__)


def say(line: str, console: Console, style: str | None = None) -> None:
    """Print and log a line as it is: paths and commands are not wrapped, brackets in them are no markup."""
    log.info("%s", line)
    console.print(line, style=style, soft_wrap=True)


def wrapped(line: str, console: Console) -> list[str]:
    """Prose for `console`: on a terminal in lines that break between words, elsewhere as one line."""
    if not console.is_terminal:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()))
    return textwrap.wrap(
        line, console.width, subsequent_indent=f"{indent}  ", break_long_words=False, break_on_hyphens=False
    )
