"""Return once a PostgreSQL database can be logged in to: `log_in.py URI SECONDS`, with the password in PGPASSWORD.

A server that is still starting is waited for; one that refuses us is not, and one line says why.
"""

from __future__ import annotations

import sys
import time

import psycopg

PAUSE_SECONDS = 0.5


def main(uri: str, seconds: float) -> str | None:
    """None, or what is wrong."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            psycopg.connect(uri, connect_timeout=5).close()
            return None
        except psycopg.OperationalError as error:
            said = " ".join(str(error).split())
            # Whom a starting server turns away, it tells so; all else that it says itself is final.
            final = "FATAL" in said and "starting up" not in said
        if final or time.monotonic() > deadline:
            return f"mlflow.sh: PostgreSQL: cannot be logged in to ({said}); check POSTGRES_USER, _DB and _PASSWORD"
        time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2])))
