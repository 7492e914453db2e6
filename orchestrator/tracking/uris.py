"""URIs of MLflow's tracking stores: made from paths, and checked before a sweep starts."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import quote, urlsplit

from flyp_sweep.orchestrator.tracking.credentials import redacted
from flyp_sweep.search_spaces.complaints import one_line
from flyp_sweep.search_spaces.errors import InputError

STORE = "mlflow.db"
SERVERS = ("http", "https", "databricks")
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
EXPECTED = "http://HOST:PORT, https://..., sqlite:////PATH/mlflow.db, postgresql://..., mysql://... or mssql://..."


def store_uri(path: Path) -> str:
    """The URI of an SQLite store."""
    return f"sqlite:///{quote(str(path.resolve()))}"


def default_uri(run_path: Path) -> str:
    """The tracking store of a run when none is named: one SQLite file for all runs of a runs folder."""
    return store_uri(run_path.resolve().parent / STORE)


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite store; None for another store, or one in memory."""
    if not uri.startswith("sqlite:"):
        return None
    from sqlalchemy.engine import make_url

    database = make_url(uri).database
    return None if database in (None, "", ":memory:") else Path(database)


def check_uri(uri: str | None) -> None:
    """Raise InputError for a URI that no tracking store of MLflow can have. Nobody is asked whether the store answers.

    None, which stands for the default store, is fine.
    """
    if uri is None or uri == "databricks":
        return
    parts = urlsplit(uri)
    scheme = parts.scheme.partition("+")[0]
    if scheme in ("http", "https") and not parts.hostname:
        raise InputError(f"--mlflow: found no host in {redacted(uri)}; expected {EXPECTED}")
    if scheme in DATABASES:
        _check_database(uri)
    elif scheme in ("", "file"):
        hint = "MLflow no longer keeps runs in a folder of files"
        raise InputError(f"--mlflow: found {uri!r}; expected {EXPECTED} ({hint}); name one, or leave it out")
    elif scheme not in (*SERVERS, *(point.name for point in entry_points(group="mlflow.tracking_store"))):
        raise InputError(f"--mlflow: found scheme {scheme!r} in {redacted(uri)}; expected {EXPECTED}")


def _check_database(uri: str) -> None:
    from sqlalchemy.engine import make_url

    try:
        made = make_url(uri)
        made.get_dialect().import_dbapi()
    except ImportError as error:
        raise InputError(
            f"--mlflow: {redacted(uri)} needs a driver that is absent ({error}); install it, e.g. psycopg2-binary for "
            "postgresql or pymysql for mysql+pymysql"
        ) from error
    except Exception as error:  # SQLAlchemy raises many types
        raise InputError(
            f"--mlflow: found {redacted(uri)} ({redacted(one_line(str(error)))}); expected {EXPECTED}"
        ) from error
    file = sqlite_file(uri)
    if file is not None and not file.parent.is_dir():
        raise InputError(f"--mlflow: found no folder {file.parent} for {file.name}; make it or name another store")
