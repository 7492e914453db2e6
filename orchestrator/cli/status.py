"""`flyp-sweep status`: how far a run has come, once or again and again."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flyp_sweep.orchestrator.cli.options import console, run_argument
from flyp_sweep.orchestrator.cli.run_address import open_run
from flyp_sweep.search_spaces.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console, Group

    from flyp_sweep.results.run_status import RunStatus


@click.command()
@run_argument
@click.option("--watch", is_flag=True, help="Show the status again and again until the sweep ends.")
@click.option("--every", type=click.FloatRange(min=0.1), metavar="SECONDS", help="With --watch.  [default: 2]")
@click.option("--json", "as_object", is_flag=True, help="Print one JSON object; with --watch, one a line.")
def status(run: Path | str, watch: bool, every: float | None, as_object: bool) -> None:
    """Cells, trials done and failed, best scores, and the trials that run now with their epochs and time left.

    Works from any terminal or node that sees the run folder. --watch ends with exit code 0 when the sweep ends, and
    with 130 on Ctrl-C.
    """
    if watch and isinstance(run, str):
        raise InputError(f"status --watch: found {run}, expected a folder; name the one on the driver's machine")
    if every is not None and not watch:
        raise InputError("status: found --every without --watch, expected both; add --watch")
    if not watch:
        _print(look_at(run), as_object)
    elif as_object or not console().is_interactive:
        _follow_by_lines(run, every or 2.0, as_object)
    else:
        _follow_on_screen(run, every or 2.0)


def look_at(run: Path | str) -> RunStatus:
    """The status of a run now."""
    from flyp_sweep.orchestrator.store.lock import living_driver
    from flyp_sweep.results.run_status import Driver, read_status

    folder = open_run(run)
    if isinstance(run, str):
        return read_status(folder, driver_known=False)
    found = living_driver(folder.path)
    return read_status(folder, Driver(found.host, found.pid, found.since) if found else None)


def _print(status: RunStatus, as_object: bool, *, in_one_line: bool = False) -> None:
    from rich.text import Text

    from flyp_sweep.results.running_rows import WIDE
    from flyp_sweep.results.status_view import as_json, text_of

    if as_object:
        click.echo(json.dumps(as_json(status), indent=None if in_one_line else 2))
        return
    terminal = console()
    for part in text_of(status, wide=terminal.width >= WIDE):
        is_whole = isinstance(part, Text) and not terminal.is_terminal  # a program gets whole lines
        terminal.print(part, soft_wrap=is_whole)


def _follow_by_lines(run: Path | str, every: float, as_object: bool) -> None:
    while True:
        now = look_at(run)
        _print(now, as_object, in_one_line=True)
        if now.driver is None:
            return
        if not as_object:
            click.echo()
        time.sleep(every)


def _follow_on_screen(run: Path | str, every: float) -> None:
    from rich.live import Live

    terminal = console()
    now = look_at(run)
    with Live(_screen(now, terminal), console=terminal, auto_refresh=False, transient=True) as live:
        while now.driver is not None:
            time.sleep(every)
            now = look_at(run)
            live.update(_screen(now, terminal), refresh=True)
    _print(now, as_object=False)


def _screen(status: RunStatus, terminal: Console) -> Group:
    from rich.console import Group

    from flyp_sweep.results.running_rows import WIDE
    from flyp_sweep.results.status_view import text_of

    return Group(*text_of(status, terminal.height, wide=terminal.width >= WIDE))
