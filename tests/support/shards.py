"""WebDataset shards, written as the `webdataset` library writes them."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path


def write_shards(folder: Path, images: Sequence[tuple[str, bytes, str]], shards: int = 2) -> None:
    """`images`, each a file's name, its bytes and its label, in their order, in a split's folder of so many shards."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nshards.txt").write_text(f"{shards}\n")
    each = -(-len(images) // shards)
    for number in range(shards):
        with tarfile.open(folder / f"{number}.tar", "w") as archive:
            for name, content, label in images[number * each : (number + 1) * each]:
                add(archive, f"{Path(name).stem}.cls", label.encode())
                add(archive, name, content)


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """A file in an archive; its time is a fraction of a second, for which Python writes a header of its own."""
    member = tarfile.TarInfo(name)
    member.size, member.mtime = len(content), time.time()  # type: ignore[assignment]
    archive.addfile(member, io.BytesIO(content))
