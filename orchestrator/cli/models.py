"""`flyp-sweep export` and `predict`: the models of a run, to take along and to use."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from flyp_sweep.orchestrator.cli.options import Callback, console_on, data_root_option, run_argument
from flyp_sweep.orchestrator.cli.run_address import RunAddress, UserPath, open_run
from flyp_sweep.search_spaces.errors import InputError

CHOSEN = "chosen"

SELECTORS: tuple[Callable[[Callback], Callback], ...] = (
    click.option("--dataset", metavar="D", help="Data set of the model."),
    click.option("--model", metavar="M", help="Pretrained model, e.g. ViT-B-16/openai."),
    click.option("--shots", metavar="K", help="Shots, or full."),
    click.option("--method", metavar="M", help="Method, e.g. flyp or flyp+greedy_soup."),
    click.option("--seed", type=int, metavar="N", help="Take the repeat with this seed.  [default: --best]"),
    click.option("--best", is_flag=True, help="Take the repeat of best score on ID validation data."),
    click.option("--trial", metavar="ID", help="Take the repeat with this trial id; the start of the id is enough."),
    click.option(
        "--alpha",
        default=CHOSEN,
        metavar="chosen|NUMBER",
        show_default=True,
        help="WiSE-FT mixing coefficient from 0 to 1, or the one that the repeat chose on ID validation data.",
    ),
)


def selectors(command: Callback) -> Callback:
    """Add the options that name one model of a run."""
    for option in reversed(SELECTORS):
        command = option(command)
    return command


@click.command()
@run_argument
@selectors
@data_root_option
@click.option("-o", "--output", "folder", type=UserPath(), required=True, help="A new or empty folder.")
@click.option("--push-to-hub", "hub", metavar="ORG/NAME", help="Upload to the Hugging Face hub; token in HF_TOKEN.")
def export(run: Path | str, data_root: Path, folder: Path, hub: str | None, **named: Any) -> None:
    """Write a model of RUN into a folder that open_clip loads, with a model card.

    --dataset, --model, --shots and --method name a cell; leave out what the run has only one of. Weights that the run
    has not kept come back from training the trial again.
    """
    wanted = _wanted(**named)
    if hub is not None:
        from flyp_sweep.orchestrator.runs.hub import check_hub

        check_hub(hub)
    click.echo(f"{folder}: {_export(run, wanted, data_root, folder, click.echo)}")
    if hub is not None:
        from flyp_sweep.orchestrator.runs.hub import push

        click.echo(push(folder, hub))


@click.command()
@click.argument("model_dir_or_run", metavar="MODEL_DIR_OR_RUN", type=RunAddress())
@click.argument("images", nargs=-1, required=True, type=UserPath())
@click.option("-o", "--output", type=UserPath(), required=True, help="A .csv or .parquet file, a row per image.")
@click.option("--column", default="path", show_default=True, help="The column of paths in a table.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads.  [default: all cores]")
@selectors
@data_root_option
def predict(
    model_dir_or_run: Path | str,
    images: tuple[Path, ...],
    output: Path,
    column: str,
    threads: int | None,
    data_root: Path,
    **named: Any,
) -> None:
    """Label IMAGES: image files, folders of images, or tables of paths (.csv, .tsv, .parquet).

    The model is a folder that `flyp-sweep export` wrote, or comes from a run: then choose it by the options of
    `export`.
    """
    from flyp_sweep.orchestrator.runs import prediction
    from flyp_sweep.trainers.exporting.listing import image_paths

    prediction.check_output(output)
    paths = image_paths(images, column)
    console = console_on(sys.stderr)
    if isinstance(model_dir_or_run, Path) and not _is_run(model_dir_or_run):
        _refuse_selectors(model_dir_or_run)
        prediction.predict(model_dir_or_run, paths, output, threads, console)
        return
    with TemporaryDirectory(prefix="flyp-sweep-") as made:
        folder = Path(made) / "model"
        say = partial(console.print, soft_wrap=True)
        say(_export(model_dir_or_run, _wanted(**named), data_root, folder, say))
        prediction.predict(folder, paths, output, threads, console)


def _wanted(seed: int | None, best: bool, trial: str | None, alpha: str, **named: Any) -> Any:
    from flyp_sweep.orchestrator.runs.chosen import Wanted

    if sum([seed is not None, best, trial is not None]) > 1:
        raise InputError("found several of --seed, --best and --trial; expected one of them")
    try:
        number = None if alpha == CHOSEN else float(alpha)
    except ValueError:
        raise InputError(f"--alpha: found {alpha!r}; expected a number from 0 to 1, or {CHOSEN}") from None
    return Wanted(**named, seed=seed, trial=trial, alpha=number)


def _export(run: Path | str, wanted: Any, data_root: Path, folder: Path, say: Callable[[str], None]) -> str:
    """Write the model, and say in words which it is."""
    from flyp_sweep.orchestrator.runs.chosen import choose

    chosen = choose(open_run(run), wanted)

    # Seconds of torch, which a wrong name is not kept waiting for.
    from flyp_sweep.orchestrator.runs.export import export

    export(chosen, data_root, folder, say)
    return chosen.told


def _is_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("space.yaml", "ledger.jsonl"))


def _refuse_selectors(folder: Path) -> None:
    context = click.get_current_context()
    for name in ("dataset", "model", "shots", "method", "seed", "best", "trial", "alpha"):
        if context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE:
            raise InputError(
                f"--{name}: found {folder}, which holds one model; expected a run, or leave the option out"
            )
