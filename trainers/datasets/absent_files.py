"""Finds absent files that a table lists, and similar names that may be meant."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path


def absent_rows(base: Path, paths: Iterable[bytes], files_in: Callable[[str], set[str]]) -> list[int]:
    """The indices of `paths`, relative to `base`, that are no files. Lists each folder once.

    On a network disk, checking each of a million files separately would take many minutes.
    """
    absent = []
    for row, path in enumerate(paths):
        folder, name = os.path.split(os.path.join(base, os.fsdecode(path)))
        # The second check is for file systems that accept other spellings of a name, e.g. of its accents.
        if name not in files_in(folder) and not os.path.isfile(os.path.join(folder, name)):
            absent.append(row)
    return absent


def spelt_otherwise(path: Path, files_in: Callable[[str], set[str]]) -> str:
    """A hint for an absent file: its path has the syntax of another system, or a file exists whose name differs only in
    Unicode form or case."""
    if "\\" in path.name:
        return "; write / in place of \\ in paths"
    if any(part.endswith(":") for part in path.parts):
        return "; write a path in place of an address"
    wanted = unicodedata.normalize("NFC", path.name)
    for name in files_in(str(path.parent)):
        if unicodedata.normalize("NFC", name).casefold() == wanted.casefold():
            differs = "Unicode form" if unicodedata.normalize("NFC", name) == wanted else "case"
            return f"; there is {name!a}, whose name differs in {differs} from {path.name!a}"
    return ""


def files_in(folder: str) -> set[str]:
    """The names of the files in a folder; empty if there is no such folder."""
    try:
        return {entry.name for entry in os.scandir(folder) if entry.is_file()}
    except OSError:
        return set()
