"""`flyp-sweep data`: is a data set complete, and how to get it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flyp_sweep.orchestrator.cli.completion import complete_space
from flyp_sweep.orchestrator.cli.run_address import UserPath
from flyp_sweep.orchestrator.exit_codes import BAD_INPUT
from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.errors import InputError

if TYPE_CHECKING:
    from flyp_sweep.search_spaces.model import SearchSpace
    from flyp_sweep.search_spaces.sections import Model
    from flyp_sweep.trainers.datasets.base import Dataset

root_option = click.option(
    "--root",
    "--data-root",
    "root",
    type=UserPath(),
    default=Path("data"),
    envvar="FLYP_SWEEP_DATA",
    show_default=True,
    show_envvar=True,
    callback=lambda context, option, root: root.resolve(),
    help="Folder that data sets lie in.",
)


@click.group()
def data() -> None:
    """Data sets: what is missing or incomplete, where it comes from, and how to get it."""


@data.command()
@click.argument("dataset")
@click.option("--deep", is_flag=True, help="Decode all images, and list those that cannot be decoded.")
@click.option(
    "--duplicates",
    is_flag=True,
    help="Decode all images, and list those that a model cannot tell apart and that have two roles or two labels.",
)
@root_option
def check(dataset: str, root: Path, deep: bool, duplicates: bool) -> None:
    """Compare the files of DATASET under --root with the published ones; name the source of missing files.

    DATASET is a name, or the YAML file of a search space: then all its data sets are checked. Images are compared as
    the models of the search space see them; without one, as OpenAI's models do, at 224 x 224 pixels.
    """
    from flyp_sweep.trainers.datasets import added

    space = _space(dataset)
    made = _made(space or dataset, root)
    if duplicates and space and not any(one.missing() for one in made):
        own = len(space.datasets)
        added.add(made[:own], made[own:])  # as a run does, so that images of both are compared
    _check(*made, look=Look(deep, duplicates, space.models if space else ()))


@data.command()
@click.argument("space", shell_complete=complete_space)
@click.option("--output", "-o", type=UserPath(), metavar="FILE", help="Write a page with example pictures, in HTML.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, e.g. train.flip=true.")
@click.option("--model", metavar="LABEL", help="The model whose preprocessing is shown.  [default: the first]")
@click.option("--deep", is_flag=True, help="Look at every image, however many there are.")
@root_option
def show(
    space: str, output: Path | None, overrides: tuple[str, ...], model: str | None, deep: bool, root: Path
) -> None:
    """Show what the loader sees of the data of SPACE: classes, sizes, examples, prompts, and what looks wrong.

    SPACE is a YAML file, the name of a bundled search space, or the name of a data set.
    """
    from flyp_sweep.orchestrator.data_views import look, page, text
    from flyp_sweep.results.files import write
    from flyp_sweep.search_spaces.loading import SUFFIXES, bundled, load
    from flyp_sweep.trainers import datasets

    def say(line: str) -> None:
        click.echo(line, err=True)

    if space in datasets.registry() and space not in bundled():
        seen = look.look_at(datasets.make(space, root), deep=deep, say=say)
    else:
        source = Path(space) if space.endswith(SUFFIXES) else space
        seen = look.look_at_space(load(source, overrides), root, model, deep=deep, say=say)
    if output is None:
        for line in text.lines(seen):
            click.echo(line)
        click.echo("\nPictures: the same command with -o FILE.html")
    else:
        write(output, page.page(seen))
        click.echo(output)


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
        fetched = _fetch(_made(_space(dataset) or dataset, root))
    if fetched:
        _check(*_made(_space(dataset) or dataset, root))
    else:
        sys.exit(BAD_INPUT)


def _space(dataset: str) -> SearchSpace | None:
    """The search space in the YAML file of this name; None for the name of a data set."""
    from flyp_sweep.search_spaces.loading import SUFFIXES, load

    return load(Path(dataset)) if dataset.endswith(SUFFIXES) else None


def _made(dataset: str | SearchSpace, root: Path) -> list[Dataset]:
    """The data set of this name, or all data sets of this search space, its own first."""
    from flyp_sweep.trainers import datasets

    if isinstance(dataset, str):
        return [datasets.make(dataset, root)]
    own = [datasets.make(entry, root, dataset.images.shown_as) for entry in dataset.datasets]
    return [*own, *datasets.evaluated(dataset, root)]


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


@dataclass(frozen=True)
class Look:
    """What `data check` looks for in images that it decodes, and the models that it looks for."""

    unreadable: bool = False
    duplicates: bool = False
    models: Sequence[Model] = ()


def _check(*made: Dataset, look: Look = Look()) -> None:
    """Print what is missing, or how many images each split holds; end with BAD_INPUT when something is wrong."""
    complete = True
    for found in made:
        if len(made) > 1:
            click.echo(f"{found.name}:")
        try:
            complete = _is_complete(found, look) and complete
        except InputError as error:  # the other data sets are checked all the same
            click.echo(f"error: {error}", err=True)
            complete = False
    if not complete:
        sys.exit(BAD_INPUT)


def _is_complete(found: Dataset, look: Look) -> bool:
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
    for line in census(found) + found.rules() + found.remarks():
        click.echo(line)
    if look.unreadable or look.duplicates:
        _decode(found, look)
    if incomplete(found, counts):
        raise InputError(
            f"data set {found.name!r}: the copy in {found.root} is not what was published; replace it, "
            "or run with --allow-incomplete"
        )
    return True


def _decode(found: Dataset, look: Look) -> None:
    """Decode all images of a data set; print what `look` is for, and raise InputError when some cannot be decoded."""
    from flyp_sweep.trainers.data.cache import Cache
    from flyp_sweep.trainers.data.inspection import look_through
    from flyp_sweep.trainers.models.preparation import usual, views

    compared = views(look.models) or [usual()]
    seen = look_through(found, Cache.of_machine(), click.echo, compared)
    for path in seen.bad:
        click.echo(f"unreadable: {path}")
    for line in seen.remarks():
        click.echo(line)
    if look.duplicates:
        for pair in seen.alike:
            click.echo(f"duplicate: {pair}")
        if not seen.images:
            click.echo("duplicates: its images are no files of their own, and are not compared")
            return
        sizes = ", ".join(f"{width} x {height}" for height, width in dict.fromkeys(view.size for view in compared))
        images = counted(sum(seen.images.values()), "image")
        click.echo(f"{counted(len(seen.alike), 'pair')} of duplicates among {images} in files, compared at {sizes}")
    seen.check(found.name)
