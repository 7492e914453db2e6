"""The models that a run keeps as LoggedModels of MLflow, and the best of each cell in its registry. No pickle."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from flyp_sweep.orchestrator.tracking.served_model import EXPORTED, ServedModel
from flyp_sweep.results.ledger.schema import TrialRecord
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.model import SearchSpace

if TYPE_CHECKING:
    from flyp_sweep.orchestrator.tracking.mlflow_logger import MlflowLogger

PREFIX = "flyp_sweep"
BEST = "best"
"""The alias of the registered version that is the best of its cell on ID validation data."""
TOP = 5
"""The most labels that a prediction names; models of fewer classes name all."""
PAIR = (("label", "string"), ("probability", "double"))
"""What a prediction says of each of these, and MLflow's types."""
ALPHA = f"{PREFIX}.exported_alpha"
"""Tag of a model whose weights are in the store: the mixing coefficient that they have."""


def registered_name(space: SearchSpace, cell: Cell) -> str:
    """`NAME-DATASET-METHOD`, with the model and the shots of the cell where the space has several.

    A `/` or `:`, which MLflow takes in no name, becomes `-`.
    """
    parts = [space.name, cell.dataset, cell.method]
    parts += [cell.model] * (len(space.models) > 1)
    parts += ["full" if cell.shots is None else f"{cell.shots}-shot"] * (len(space.shots_list) > 1)
    return re.sub(r"[/:]+", "-", "-".join(parts))


class KeptModels:
    """The LoggedModels of one sweep, each an output of the child run of its trial. Every write is idempotent.

    A model's weights are safetensors, in the folder of `flyp-sweep export`; MLflow loads them by the module
    `served_model`. They are in the store for registered models alone: the run folder has those of the others.
    """

    def __init__(self, logger: MlflowLogger) -> None:
        self.logger = logger
        self.client = logger.client

    @cached_property
    def logged(self) -> dict[str, Any]:
        """The models of this sweep in the store, by the ids of their trials."""
        return {one.tags[f"{PREFIX}.trial_id"]: one for one in self._search()}

    def _search(self) -> Iterator[Any]:
        token: str | None = None
        while True:
            page = self.client.search_logged_models([self.logger.experiment], max_results=100, page_token=token)
            yield from (one for one in page if one.tags.get(f"{PREFIX}.id") == self.logger.folder.identity)
            token = page.token
            if not token:
                return

    def mirror(self, records: Sequence[TrialRecord]) -> None:
        """Have a model for each of the repeats whose weights lie in the run folder, or in the store; no other one."""
        weights = self.logger.folder.weights
        kept = {one.trial_id: one for one in records if (weights / f"{one.trial_id}.safetensors").is_file()}
        for trial_id in self.logged.keys() - kept.keys():
            if ALPHA not in self.logged[trial_id].tags:
                self.client.delete_logged_model(self.logged.pop(trial_id).model_id)
        for record in kept.values():
            self.model_of(record)

    def model_of(self, record: TrialRecord) -> Any:
        """The model of a trial, made unless it is there; one of another record of the trial goes."""
        from mlflow.entities import LoggedModelOutput

        run = self.logger.trials[record.trial_id]
        there = self.logged.get(record.trial_id)
        if there is not None and there.source_run_id == run.run_id:
            return there
        if there is not None:
            self.client.delete_logged_model(there.model_id)
        tags = {
            f"{PREFIX}.id": self.logger.folder.identity,
            f"{PREFIX}.trial_id": record.trial_id,
            "serialization": "safetensors",
            "weights": f"{self.logger.folder.weights.name}/{record.trial_id}.safetensors in the run folder",
        }
        model = self.client.create_logged_model(
            self.logger.experiment,
            re.sub(r"[^\w+-]+", "-", f"{record.cell.dataset}-{record.cell.method}-seed-{record.seed}"),
            run.run_id,
            tags,
            {name: str(value) for name, value in record.hparams.items()},
        )
        self.client.log_model_artifacts(model.model_id, str(self._description))
        self.client.finalize_logged_model(model.model_id, "READY")
        self.client.log_outputs(run.run_id, [LoggedModelOutput(model.model_id, 0)])
        self.logged[record.trial_id] = model
        return model

    @cached_property
    def _drafts(self) -> TemporaryDirectory[str]:
        return TemporaryDirectory(prefix="flyp-sweep-")

    @cached_property
    def _description(self) -> Path:
        """MLflow's own files, which are those of all models: loader, signature and input example."""
        from mlflow import pyfunc
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, Schema

        top = [ColSpec(kind, f"{what}_{at}", required=False) for at in range(1, TOP + 1) for what, kind in PAIR]
        outputs = [*(ColSpec("string", name, required=False) for name in ("path", "label", "error"))]
        outputs.append(ColSpec("double", "confidence", required=False))
        folder = Path(self._drafts.name) / "model"
        pyfunc.save_model(
            str(folder),
            loader_module=ServedModel.__module__,
            signature=ModelSignature(inputs=Schema([ColSpec("string")]), outputs=Schema([*outputs, *top])),
            input_example=["image.png"],
            pip_requirements=[f"flyp-sweep=={version('flyp-sweep')}"],
        )
        return folder

    def is_registered(self, name: str, record: TrialRecord, alpha: float) -> bool:
        """Whether the alias `best` of this registered model is that of a trial at this alpha."""
        from mlflow.exceptions import MlflowException

        model = self.logged.get(record.trial_id)
        run = self.logger.trials.get(record.trial_id)
        if model is None or run is None or model.source_run_id != run.run_id or model.tags.get(ALPHA) != str(alpha):
            return False
        try:
            return bool(self.client.get_model_version_by_alias(name, BEST).source == model.artifact_location)
        except MlflowException:
            return False

    def register(self, name: str, record: TrialRecord, alpha: float, exported: Path) -> None:
        """Put the weights of a model into the store, and make it the version `best` of a registered model."""
        from mlflow.exceptions import MlflowException

        model = self.model_of(record)
        self.client.log_model_artifacts(model.model_id, str(exported), EXPORTED)
        self.client.set_logged_model_tags(model.model_id, {ALPHA: str(alpha), "weights": EXPORTED})
        try:
            self.client.get_registered_model(name)
        except MlflowException:
            self.client.create_registered_model(name, {f"{PREFIX}.sweep": self.logger.folder.name})
        made = self.client.create_model_version(
            name, model.artifact_location, model.source_run_id, model_id=model.model_id
        )
        self.client.set_registered_model_alias(name, BEST, made.version)
