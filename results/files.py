"""Writing the files that a user asked for."""

from __future__ import annotations

from pathlib import Path

from search_spaces.errors import InputError


def write(path: Path, content: str | bytes) -> None:
    """Write a file in missing folders, too. Raises InputError where that cannot be done."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        what = f"{error.strerror}: {error.filename}"
        raise InputError(f"{path}: found no way to write it ({what}); name a file that can be written") from None
