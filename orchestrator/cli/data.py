"""`flyp-sweep data`: is a data set complete, and how to get it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flyp_sweep.orchestrator.cli.run_address import UserPath
from flyp_sweep.orchestrator.exit_codes import BAD_INPUT
from flyp_sweep.search_spaces.errors import InputError

if TYPE_CHECKING:
    from flyp_sweep.trainers.datasets.base import Dataset

root_option = click.option(
    "--root",
    type=UserPath(),
    default=Path("data"),
    show_default=True,
    callback=lambda context, option, root: root.resolve(),
    help="Folder that data sets lie in.",
)


@click.group()
def data() -> None:
    """Data sets: what is missing or incomplete, where it comes from, and how to get it."""


@data.command()
@click.argument("dataset")
@click.option("--deep", is_flag=True, help="Decode all images, and list those that cannot be decoded.")
@root_option
def check(dataset: str, root: Path, deep: bool) -> None:
    """Compare the files of DATASET under --root with the published ones; name the source of missing files.

    DATASET is a name, or the YAML file of a search space: then all its data sets are checked.
    """
    _check(*_made(dataset, root), deep=deep)


@data.command()
@click.argument("dataset")
@click.option(
    "--from-text",
    type=UserPath(),
    metavar="DIR",
    help="Render rendered_sst2 from SST-2's train.tsv, dev.tsv and test.tsv in DIR.",
)
@root_option
def prepare(dataset: str, from_text: Path | None, root: Path) -> None:
    """Download what is missing of DATASET into --root, or name the source of its files; then check all of them.

    DATASET is a name, or the YAML file of a search space: then all its data sets are fetched. Start again after an
    interruption: what is whole is kept.
    """
    if from_text is not None:
        if dataset != "rendered_sst2":
            raise InputError(f"--from-text: found data set {dataset!r}; only rendered_sst2 is made from text")
        from flyp_sweep.trainers.datasets.render_text import prepare_from_text

        prepare_from_text(from_text, root)
        fetched = True
    else:
        fetched = _fetch(_made(dataset, root))
    if fetched:
        _check(*_made(dataset, root))
    else:
        sys.exit(BAD_INPUT)


def _made(dataset: str, root: Path) -> list[Dataset]:
    """The data set of this name, or all data sets of this search space."""
    from flyp_sweep.search_spaces.loading import SUFFIXES, load
    from flyp_sweep.trainers import datasets

    if not dataset.endswith(SUFFIXES):
        return [datasets.make(dataset, root)]
    space = load(Path(dataset))
    own = [datasets.make(entry, root, space.images.shown_as) for entry in space.datasets]
    return [*own, *datasets.evaluated(space, root)]


def _fetch(made: list[Dataset]) -> bool:
    """Fetch what is missing; False, with a line for each data set that cannot be, when something stays so."""
    if not sys.stderr.isatty():  # progress bars are for people
        os.environ.update(TQDM_DISABLE="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
    from flyp_sweep.trainers.datasets.fetch import fetch

    whole = True
    for one in made:
        try:
            fetch(one, lambda line: click.echo(line, err=True))
        except InputError as error:  # the other data sets are fetched all the same
            click.echo(f"error: {error}", err=True)
            whole = False
    return whole


def _check(*made: Dataset, deep: bool = False) -> None:
    """Print what is missing, or how many images each split holds; end with BAD_INPUT when something is wrong."""
    complete = True
    for found in made:
        if len(made) > 1:
            click.echo(f"{found.name}:")
        try:
            complete = _is_complete(found, deep) and complete
        except InputError as error:  # the other data sets are checked all the same
            click.echo(f"error: {error}", err=True)
            complete = False
    if not complete:
        sys.exit(BAD_INPUT)


def _is_complete(found: Dataset, deep: bool) -> bool:
    """Print what is missing, or how many images each split holds. Raises InputError when these are wrong."""
    from flyp_sweep.trainers.data_checks import check_classes, incomplete
    from flyp_sweep.trainers.datasets.census import census

    missing = found.missing()
    for one in missing:
        click.echo(f"missing: {one.path} (from {one.source})")
    if missing:
        return False
    check_classes(found)
    counts = found.counts()
    for split, role in found.splits.items():
        expected = found.published.get(split, counts[split])
        published = f", {expected} as published" if split in found.published else ""
        note = "" if counts[split] == expected else ": INCOMPLETE" if counts[split] < expected else ": TOO MANY"
        click.echo(f"{split:<24} {role:<8} {counts[split]:>8} image{'s' * (counts[split] != 1)}{published}{note}")
    for line in census(found) + found.remarks():
        click.echo(line)
    if deep:
        _decode(found)
    if incomplete(found, counts):
        raise InputError(
            f"data set {found.name!r}: the copy in {found.root} is not what was published; replace it, "
            "or run with --allow-incomplete"
        )
    return True


def _decode(found: Dataset) -> None:
    """Decode all images of a data set; print what cannot be decoded, file by file, and raise InputError."""
    from flyp_sweep.trainers.data.cache import Cache
    from flyp_sweep.trainers.data.inspection import look_through

    seen = look_through(found, Cache.of_machine(), click.echo)
    for path in seen.bad:
        click.echo(f"unreadable: {path}")
    for line in seen.remarks():
        click.echo(line)
    seen.check(found.name)
