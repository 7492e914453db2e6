"""Epochs of one FLYP trial with two processes of one thread each, against one process of one thread, in turns.

The small ViT is trained on the digits in batches of 250, and evaluated on ID validation after every epoch, as in a
sweep.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import small_vit
from measuring import Options, Report, Row, alternate, main, scratch, seconds

from flyp_sweep.orchestrator.engine.process_group import ProcessGroup
from flyp_sweep.orchestrator.engine.settings import Settings
from flyp_sweep.orchestrator.protocol.plan import plan
from flyp_sweep.search_spaces.loading import from_mapping
from flyp_sweep.search_spaces.model import Resources, SearchSpace
from flyp_sweep.trainers.checkpoints.checkpoint import Policy
from flyp_sweep.trainers.checkpoints.prediction_files import PredictionFiles
from flyp_sweep.trainers.preflight import check

ENDLESS = 100_000
HPARAMS = {"lr": 1e-5, "weight_decay": 0.1}


def benchmark(options: Options) -> Report:
    with scratch() as folder, ExitStack() as groups:
        space = space_of(small_vit.make(folder / "small-vit"), options.tiny)
        one, two = (groups.enter_context(closing(begun(space, folder, processes))) for processes in (1, 2))
        for group in (one, two):
            group.step()
        of_one, of_two = alternate(options.runs, lambda: seconds(one.step), lambda: seconds(two.step))
    faster = of_one.over(of_two)
    told = [sample.told("s") for sample in (of_two, of_one)]
    row = Row("an epoch of FLYP, small-vit, batch 250", told[0], f"{told[1]}, one", faster.told("x"), options.runs)
    return Report([replace(row, note="two processes of one thread each")])


def space_of(model: str, tiny: bool) -> SearchSpace:
    return from_mapping(
        {
            "name": "data_parallel",
            "dataset": "digits",
            "shots": 2 if tiny else None,
            "model": {"arch": model, "name": "small-vit"},
            "methods": ["flyp"],
            "train": {"batch_size": 250, "epochs": ENDLESS, "warmup_steps": 10},
            "search": {"algorithm": "grid", "space": HPARAMS},
            "early_stopping": {"patience": ENDLESS},
        }
    )


def begun(space: SearchSpace, folder: Path, processes: int) -> ProcessGroup:
    """A trial of one hyper-parameter configuration, whose epochs so many processes train together."""
    settings = Settings(
        space,
        Path("absent"),
        Policy(folder / f"running-{processes}", every_seconds=1e9),
        Policy(folder / f"weights-{processes}"),
        PredictionFiles("none", folder / "predictions"),
        Resources(cpu=processes, processes=processes),
    )
    group = ProcessGroup(settings)
    group.begin(plan(space, check(space, Path("absent")))[0].search_trial(HPARAMS, 0))
    return group


if __name__ == "__main__":
    main(benchmark, __doc__)
