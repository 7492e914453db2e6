"""What a shell completes at the Tab key: names of search spaces, files, run folders. Nothing heavy is imported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

RUNS = Path("runs")


def complete_bundled(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """The bundled search spaces, each with what it is."""
    from click.shell_completion import CompletionItem

    from flyp_sweep.search_spaces.loading import bundled

    return [CompletionItem(name, help=told) for name, told in bundled().items() if name.startswith(typed)]


def complete_space(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """The bundled search spaces, else files."""
    from click.shell_completion import CompletionItem

    return complete_bundled(context, parameter, typed) or [CompletionItem(typed, type="file")]


def complete_run(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """The run folders in `runs`, else folders."""
    from click.shell_completion import CompletionItem

    there = sorted(RUNS.glob("*/space.yaml")) if RUNS.is_dir() else []
    runs = [str(file.parent) for file in there if str(file.parent).startswith(typed)]
    return [CompletionItem(run) for run in runs] or [CompletionItem(typed, type="dir")]
