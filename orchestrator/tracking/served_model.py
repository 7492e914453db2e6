"""What MLflow loads of a registered model: a folder that `export` wrote, which labels image files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flyp_sweep.search_spaces.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from flyp_sweep.trainers.exporting.exported import ExportedModel

EXPORTED = "exported"
"""The folder beside MLflow's own files; absent where the model is not registered, and its weights are elsewhere."""


class ServedModel:
    """Predicts as `flyp-sweep predict` does."""

    def __init__(self, model: ExportedModel) -> None:
        self.model = model

    def predict(self, paths: pd.DataFrame | Sequence[str], params: dict[str, Any] | None = None) -> pd.DataFrame:
        """A row per image file, in order; `paths` is a list, or the first column of a frame."""
        named = paths if isinstance(paths, list | tuple) else paths.iloc[:, 0].tolist()  # type: ignore[union-attr]
        return self.model.predict([str(path) for path in named])


def _load_pyfunc(path: str) -> ServedModel:
    """The model in the folder of an MLflow model, by the name that MLflow calls a loader. Raises InputError."""
    from flyp_sweep.trainers.exporting.exported import ExportedModel

    folder = Path(path) / EXPORTED
    if not folder.is_dir():
        raise InputError(
            f"{folder}: found no weights: they lie in the run folder alone, as this model is not registered; set "
            "mlflow.register: true in the search space, or use `flyp-sweep export`"
        )
    return ServedModel(ExportedModel.load(folder))
