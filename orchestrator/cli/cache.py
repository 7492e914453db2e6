"""`flyp-sweep cache`: the files that a machine computes once and keeps."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from flyp_sweep.trainers.data.cache import Cache


@click.group()
def cache() -> None:
    """The cache of this machine: resized images, features, zero-shot heads and hashes of files.

    FLYP_SWEEP_CACHE names the folder (`off`: no cache). FLYP_SWEEP_CACHE_GB limits its size.
    """


@cache.command("ls")
def list_entries() -> None:
    """List the entries, the most recently used first."""
    from rich.filesize import decimal

    kept = _cache()
    if kept is None:
        return
    entries = kept.entries()
    for entry in entries:
        kind, of = entry.told
        used = datetime.fromtimestamp(entry.used).isoformat(sep=" ", timespec="minutes")
        click.echo(f"{used}  {decimal(entry.size):>9}  {kind:<8}  {of}")
    total = sum(entry.size for entry in entries)
    if kept.hashes_size:
        click.echo(f"{'':16}  {decimal(kept.hashes_size):>9}  hashes    of files that were read before")
    count = "1 entry" if len(entries) == 1 else f"{len(entries)} entries"
    click.echo(f"{count}, {decimal(total)} of at most {decimal(kept.max_bytes)}, in {kept.folder}")


@cache.command()
def clear() -> None:
    """Remove all entries. Runs compute again what they need."""
    from rich.filesize import decimal

    kept = _cache()
    if kept is not None:
        click.echo(f"{decimal(kept.clear())} freed in {kept.folder}")


def _cache() -> Cache | None:
    from flyp_sweep.trainers.data.cache import Cache

    found = Cache.of_machine()
    if found is None:
        click.echo("FLYP_SWEEP_CACHE=off: nothing is kept")
    return found
