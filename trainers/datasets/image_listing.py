"""Lists the images in a folder: files that Pillow can open, also behind links. Decodes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from PIL import Image

from flyp_sweep.trainers.datasets.decoding import PASSING

NO_PICTURES = frozenset({"BUFR", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"})
"""Formats that Pillow identifies but cannot decode by itself."""
UNMARKED = frozenset({"TGA"})
"""Formats without a signature: Pillow may mistake any file for one."""

HIDDEN, MACOS = "hidden", "in __MACOSX"
NO_IMAGE, NO_CLASS, CIRCLE = "not opened by Pillow", "outside of the class folders", "links back to a folder above"


@dataclass
class LeftOut:
    """Ignored files and folders: reason -> paths; and whether counted files were found through links."""

    paths: dict[str, list[str]] = field(default_factory=dict)
    linked: bool = False

    def add(self, reason: str, path: str) -> None:
        self.paths.setdefault(reason, []).append(path)

    def told(self, folder: Path) -> str:
        """E.g. `3 hidden (cat/._0.jpg, ...), 1 not opened by Pillow (cat/notes.txt)`; empty if nothing was ignored."""
        return ", ".join(
            f"{len(paths)} {reason} ({os.path.relpath(paths[0], folder)}{', ...' if len(paths) > 1 else ''})"
            for reason, paths in self.paths.items()
        )


@cache
def formats() -> frozenset[str]:
    """The formats that Pillow, with its plug-ins, can decode."""
    Image.init()
    return frozenset(Image.OPEN) - NO_PICTURES


@cache
def suffixes() -> frozenset[str]:
    """The suffixes of these formats, in lower case, as `.jpg`."""
    return frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in formats())


def is_named_as_image(name: str) -> bool:
    """Whether a file's suffix is that of an image; False for hidden files."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes()


def is_left_behind(name: str) -> str | None:
    """Why a file or folder with this name never counts; None if it may count."""
    if name.startswith("."):  # includes ._x, .DS_Store and .ipynb_checkpoints
        return HIDDEN
    return MACOS if name == "__MACOSX" else None


def subfolders(folder: Path, left_out: LeftOut | None = None) -> list[Path]:
    """The subfolders of `folder` that count, also behind links, sorted. Raises OSError if `folder` cannot be read."""
    left_out = LeftOut() if left_out is None else left_out
    found = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        reason = is_left_behind(entry.name) or (None if entry.is_dir() else NO_CLASS)
        if reason is None:
            found.append(Path(entry.path))
            left_out.linked |= entry.is_symlink()
        else:
            left_out.add(reason, entry.path)
    return found


def images_below(folder: str, left_out: LeftOut, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[str]:
    """Paths of the images in `folder` and its subfolders. Adds ignored ones to `left_out`.

    Follows links, except to a folder `above`, given by device and inode. Raises OSError for unreadable folders.
    """
    stat = os.stat(folder)
    here = stat.st_dev, stat.st_ino
    if here in above:
        left_out.add(CIRCLE, folder)
        return
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        reason = is_left_behind(entry.name)
        if reason is not None:
            left_out.add(reason, entry.path)
        elif entry.is_dir():
            left_out.linked |= entry.is_symlink()
            yield from images_below(entry.path, left_out, above | {here})
        elif _is_image(entry):
            left_out.linked |= entry.is_symlink()
            yield entry.path
        else:
            left_out.add(NO_IMAGE, entry.path)


def _is_image(entry: os.DirEntry[str]) -> bool:
    """Decides by suffix, even for broken links, which decoding reports. Opens files with other suffixes."""
    if not entry.is_file():
        return entry.is_symlink() and is_named_as_image(entry.name)
    return is_named_as_image(entry.name) or _opens(entry.path)


def _opens(path: str) -> bool:
    try:
        with Image.open(path, formats=sorted(formats() - UNMARKED)):
            return True
    except OSError as error:
        if error.errno in PASSING:
            raise
        return False
    except Exception:  # Pillow raises many types for a file that is no image
        return False
