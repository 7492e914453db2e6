"""`flyp-sweep init`, `show-space` and `schema`: search spaces to start from, to read, and for editors."""

from __future__ import annotations

from pathlib import Path

import click

from flyp_sweep.orchestrator.cli.completion import complete_bundled
from flyp_sweep.orchestrator.cli.run_address import UserPath
from flyp_sweep.search_spaces.errors import InputError

DEFAULT_FILE = "sweep.yaml"


@click.command()
@click.argument("space", default=DEFAULT_FILE)
@click.option("--data", type=UserPath(), metavar="DIR", help="Folder of your own images, or of tables of their paths.")
@click.option("--force", is_flag=True, help="Overwrite the file if there is one.")
def init(space: str, data: Path | None, force: bool) -> None:
    """Write a search space to start from into the file SPACE.

    SPACE is a file or a name; without it, sweep.yaml. The file shows every key with its default and meaning. With
    --data, the splits and classes come from the folders or tables there; comments in the file tell what was guessed.
    A JSON Schema for editors is written beside the file.
    """
    from flyp_sweep.orchestrator.starter.found_data import look
    from flyp_sweep.orchestrator.starter.written import check_command, written
    from flyp_sweep.search_spaces.complaints import one_line
    from flyp_sweep.search_spaces.fields import as_slug
    from flyp_sweep.search_spaces.json_schema import FILE, schema
    from flyp_sweep.search_spaces.loading import SUFFIXES

    file = Path(space if space.endswith(SUFFIXES) else f"{Path(space)}.yaml")
    if file.exists() and not force:
        raise InputError(f"{file}: found a file there already; name another, or add --force to overwrite it")
    found = None if data is None else look(data)
    text = written(as_slug(file.stem), str(file), found)
    beside = file.with_name(FILE)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        beside.write_text(schema(), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{file}: cannot be written ({error.strerror}); name another file") from None
    for key, told in ({} if found is None else found.guesses).items():
        click.echo(one_line(f"dataset.{key}: {told}"))
    click.echo(f"{file}: written, with {beside} for editors")
    click.echo(f"next: {check_command(str(file))}")


@click.command("show-space")
@click.argument("name", shell_complete=complete_bundled)
def show_space(name: str) -> None:
    """Print the bundled search space NAME.

    `flyp-sweep list spaces` lists the names.
    """
    from flyp_sweep.search_spaces.loading import bundled_text

    click.echo(bundled_text(name), nl=False)


@click.command()
def schema() -> None:
    """Print the JSON Schema of search spaces.

    Editors complete keys by it, and mark typos.
    """
    from flyp_sweep.search_spaces.json_schema import schema

    click.echo(schema(), nl=False)
