"""The best model of each cell of a finished run, exported and registered in MLflow: `mlflow: {register: true}`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from flyp_sweep.orchestrator.runs.chosen import Wanted, choose
from flyp_sweep.orchestrator.tracking.kept_models import BEST, KeptModels, registered_name
from flyp_sweep.orchestrator.tracking.mlflow_logger import MlflowLogger
from flyp_sweep.results.ledger.file import last_selections, trials_by_id
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.results.ledger.schema import is_mixture
from flyp_sweep.results.naming import shots_label
from flyp_sweep.search_spaces.complaints import one_line
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.loading import load


def registered(folder: RunFolder, data_root: Path, uri: str, say: Callable[[str], None]) -> str | None:
    """As `register`, at the end of a run: returns what went wrong, if anything, for the run itself is done."""
    from mlflow.exceptions import MlflowException

    try:
        register(folder, data_root, uri, say)
    except (OSError, InputError, MlflowException) as error:
        return one_line(str(error))
    return None


def register(folder: RunFolder, data_root: Path, uri: str, say: Callable[[str], None]) -> None:
    """Register what is not registered yet; `say` is told of each model.

    Weights come from the store where `folder` is the working copy of a run there, by its label.
    A mixture is two models, so it has none; nor has a method without a folder for open_clip, and `say` is told so.
    Raises InputError as `export` does, and MLflow's own errors.
    """
    space = load(str(folder.space))
    models = KeptModels(MlflowLogger(uri, space.name, folder))
    records = folder.ledger.load()
    trials = trials_by_id(records)
    for cell, selection in last_selections(records).items():
        repeats = [trials[one] for one in selection.repeats if one in trials]
        if cell not in space.cells() or any(is_mixture(cell, one.settings) for one in repeats):
            continue
        shots = shots_label(cell.shots).removesuffix("-shot")
        chosen = choose(folder, Wanted(dataset=cell.dataset, model=cell.model, shots=shots, method=cell.method))
        name = registered_name(space, cell)
        if models.is_registered(name, chosen.record, chosen.alpha):
            continue

        from flyp_sweep.orchestrator.runs.export import NotPortable, export  # seconds of torch

        with TemporaryDirectory(prefix="flyp-sweep-") as made:
            try:
                export(chosen, data_root, Path(made) / "model", say)
            except NotPortable as refusal:
                say(f"not registered: {refusal}")
                continue
            models.register(name, chosen.record, chosen.alpha, Path(made) / "model")
        say(f"registered {chosen.told} as models:/{name}@{BEST}")
