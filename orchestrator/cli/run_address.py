"""How the command line names a run: by its folder, or by its URL in a store, of which it reads a copy."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flyp_sweep.orchestrator.cli.completion import complete_run
from flyp_sweep.search_spaces.errors import InputError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from flyp_sweep.results.ledger.run_folder import RunFolder


class UserPath(click.Path):
    """A path in which `~` is the home folder, also where a shell leaves it alone, as in `--out=~/x`."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(os.path.expanduser(value), param, ctx)


class RunAddress(click.ParamType[Path | str]):
    """The path of a run folder, or a URL as text."""

    name = "path"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Path | str:
        if isinstance(value, Path):
            return value
        text = str(value).removeprefix("file://")
        return text if "://" in text else Path(os.path.expanduser(text))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return complete_run(ctx, param, incomplete)


def open_run(address: Path | str) -> RunFolder:
    """The run folder at a path, or a copy of the one at a URL, which lasts as long as the command.

    Raises InputError when there is none.
    """
    from flyp_sweep.results.ledger.run_folder import RunFolder

    if isinstance(address, Path):
        return RunFolder(address)
    from tempfile import TemporaryDirectory

    from flyp_sweep.orchestrator.store.ledger_parts import LedgerParts
    from flyp_sweep.orchestrator.store.remote_run import fetch_run, unanswered
    from flyp_sweep.trainers.data.object_store import Storage, StorageError

    run = Storage(address)
    folder = click.get_current_context().with_resource(TemporaryDirectory(prefix="flyp-sweep-")) / Path(run.name)
    try:
        fetch_run(run, LedgerParts(run), folder)
    except StorageError as error:
        raise unanswered(address, error) from None
    if not folder.exists():
        raise InputError(
            f"{address}: found nothing, expected a run folder; make one with `flyp-sweep run SPACE --out URL`"
        )
    return RunFolder(folder, address)


def refuse_without_file(command: str, runs: Iterable[Path | str], output: Path | None) -> None:
    """Raise InputError where a file would be written into a run folder that is only read."""
    for address in runs:
        if isinstance(address, str) and output is None:
            raise InputError(f"{command}: found {address} and no -o, expected a file or folder to write; add -o")
