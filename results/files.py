"""Writing the files that a user asked for."""

from __future__ import annotations

from pathlib import Path

from flyp_sweep.search_spaces.errors import InputError


class UnwritableError(InputError):
    """A file that cannot be written: a folder in its place, a folder of somebody else, no room."""


def write(path: Path, content: str | bytes) -> None:
    """Write a file in missing folders, too. Raises UnwritableError where that cannot be done."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        where = "" if error.filename in (None, str(path)) else f": {error.filename}"
        raise UnwritableError(
            f"{path}: cannot be written ({error.strerror}{where}), expected room for a file of yours; make it, or name "
            "another one"
        ) from None
