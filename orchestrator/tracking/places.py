"""Where MLflow's artifacts lie in an SQLite store: in the run folder and beside the store, also after a move.

MLflow stores absolute addresses, and its client has no call that changes one. So these functions write the addresses
into the tables of the store.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

ARTIFACTS = "mlflow-artifacts"
"""The folder beside the store that has the artifacts of its experiments: registered models, for instance."""
ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""The tables and columns of a store that hold addresses of artifacts."""


def place_artifacts(store: Path, run_id: str, folder: Path) -> None:
    """Have the artifacts of a run lie in `folder`, which lies in the run folder and moves with it.

    MLflow would give the run a place below that of its experiment, which all sweeps of a search space share.
    """
    with contextlib.closing(sqlite3.connect(store, timeout=30)) as database, database:
        database.execute("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", (folder.as_uri(), run_id))


def follow_moved_store(store: Path) -> None:
    """Let all addresses below the folder that a store was made in lead to the folder where the store lies now.

    The address of an experiment of ours tells where the store was made. A store that has not moved stays as it is.
    """
    here = store.resolve().parent
    with contextlib.closing(sqlite3.connect(store, timeout=30)) as database, database:
        for old in _earlier_folders(database, here):
            for table, column in ADDRESSES:
                database.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",  # noqa: S608
                    (f"{here.as_uri()}/", len(old) + 1, len(old), old),
                )


def _earlier_folders(database: sqlite3.Connection, here: Path) -> list[str]:
    """The addresses, with a `/` at the end, of the folders that this store was made in, other than `here`."""
    if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone():
        return []
    rows = database.execute("SELECT DISTINCT artifact_location FROM experiments WHERE artifact_location IS NOT NULL")
    tail = f"/{ARTIFACTS}"
    made_in = [str(address).removesuffix(tail) for (address,) in rows if str(address).endswith(tail)]
    return [f"{one}/" for one in made_in if one.startswith("file:") and _path(one) != here]


def _path(address: str) -> Path:
    return Path(url2pathname(urlsplit(address).path))
