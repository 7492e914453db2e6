"""A run whose folder is in a store: the driver works in a local copy, and a thread uploads it while the sweep runs.

No trial waits for the store: the driver appends to its local ledger, and the thread follows the ledger. Only the start
of a sweep, which fetches the ledger, and its end wait for the store.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flyp_sweep.orchestrator.store.lease import Lease
from flyp_sweep.orchestrator.store.ledger_parts import PART_BYTES, LedgerParts, fetch_ledger
from flyp_sweep.orchestrator.store.lock import taken_over
from flyp_sweep.orchestrator.store.trial_files import RemoteTrialFiles
from flyp_sweep.results.ledger.file import Ledger
from flyp_sweep.results.ledger.run_folder import IDENTITY, LEDGER, RunFolder, write_whole
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.checkpoints.prediction_files import SUFFIX as PREDICTION_SUFFIX
from flyp_sweep.trainers.data.object_store import Storage, StorageError, Taken

log = logging.getLogger(__name__)

SPACE = "space.yaml"
RUNNING, WEIGHTS, PREDICTIONS = "running", "weights", "predictions"
OUTPUTS = ("results.parquet", "tables/*", "figures/*", "report.html")
EVERY_SECONDS, RARELY_SECONDS, PARTS_PER_SECOND = 1.0, 60.0, 200
"""New lines are uploaded every second at first. The pause grows by a second with every PARTS_PER_SECOND parts, because
readers have to list all parts: a month of short trials makes some 50,000."""
PATIENCE_SECONDS, HURRY_SECONDS = 120.0, 8.0
"""How long the end of a sweep waits for a store that does not answer, and how long when the sweep was interrupted."""


class RemoteRun:
    """One run in a store, whose lock is held, and its working copy at `path`, whose lock is held too.

    `lost` says in a line why this driver may no longer upload; `trouble` is the last error of the store, None when the
    last upload succeeded.
    """

    def __init__(self, run: Storage, lease: Lease, path: Path) -> None:
        self.url = run.url
        self.path = path
        self.running = RemoteTrialFiles(run.below(RUNNING))
        self.weights = RemoteTrialFiles(run.below(WEIGHTS), "flyp-sweep-weights")
        self.predictions = RemoteTrialFiles(run.below(PREDICTIONS), suffix=PREDICTION_SUFFIX)
        self.trouble: str | None = None
        self._run = run
        self._lease = lease
        self._parts = LedgerParts(run)
        self._ledger = Ledger(path / LEDGER)
        self._failures = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="remote-run", daemon=True)

    @property
    def lost(self) -> str | None:
        return self._lease.lost

    def fetch(self) -> None:
        """Bring the working copy and the store to the same ledger, the longer of the two.

        Raises InputError when neither continues the other, or the folder at `path` is no working copy of this run.
        """
        _mark(self.path, self.url)
        fetch_run(self._run, self._parts, self.path)
        try:
            self._publish_ledger()
        except Taken:
            raise InputError(taken_over(self.url, None)) from None

    def start(self) -> None:
        """Begin to upload; the working copy has its search space. Raises StorageError when that cannot be uploaded."""
        RunFolder(self.path).write_identity()
        for name in (SPACE, IDENTITY):
            self._run.upload(self.path / name, name)
        self._thread.start()

    def fetch_predictions(self) -> None:
        """Have the working copy hold the predictions too, which workers put into the store; what fails is logged."""
        try:
            self.predictions.fetch(self.path / PREDICTIONS)
        except (StorageError, OSError) as error:
            log.warning("%s: predictions cannot be fetched: %s", self.url, error)

    def close(self, *, hurry: bool) -> str | None:
        """Upload the rest of the ledger and the outputs; returns what went wrong, if anything."""
        self.stop()
        deadline = time.monotonic() + (HURRY_SECONDS if hurry else PATIENCE_SECONDS)
        self._thread.join(HURRY_SECONDS if hurry else PATIENCE_SECONDS)
        if self._thread.is_alive():
            return self.trouble or "it is still being written"
        while not self._attempt(outputs=True) and self.lost is None:
            if time.monotonic() > deadline:
                break
            time.sleep(EVERY_SECONDS)
        return self.lost or self.trouble

    def stop(self) -> None:
        """End the uploads of the thread."""
        self._closing.set()

    def _follow(self) -> None:
        while self.lost is None and not self._closing.wait(self._pause):
            self._attempt()

    @property
    def _pause(self) -> float:
        pause = EVERY_SECONDS * (2**self._failures + self._parts.count / PARTS_PER_SECOND)
        return min(RARELY_SECONDS, pause)

    def _attempt(self, *, outputs: bool = False) -> bool:
        """Upload the ledger, remove the trial files that are no longer wanted, and upload the outputs, if asked to."""
        try:
            self._publish_ledger()
            if self.lost is None:
                for files in (self.running, self.weights, self.predictions):
                    files.tidy()
            if outputs and self.lost is None:
                self._parts.copy(self._ledger, every=1)
                for path in sorted(path for pattern in OUTPUTS for path in self.path.glob(pattern)):
                    self._run.upload(path, path.relative_to(self.path).as_posix())
        except Taken:
            self._lease.lost = taken_over(self.url, None)
        except (StorageError, OSError) as error:
            self._note(str(error))
            self._failures = min(self._failures + 1, 6)
            return False
        self._note(None)
        self._failures = 0
        return True

    def _note(self, trouble: str | None) -> None:
        """Keep the last error of the store, and log it when it changes."""
        if trouble and trouble != self.trouble:
            log.warning("%s: cannot be written: %s", self.url, trouble)
        elif self.trouble and not trouble:
            log.info("%s: can be written again", self.url)
        self.trouble = trouble

    def _publish_ledger(self) -> None:
        while lines := self._ledger.whole_lines(self._parts.end, PART_BYTES):
            self._lease.confirm()
            if self._lease.lost is not None:
                return
            self._parts.extend(lines)
            self._parts.copy(self._ledger)


@contextmanager
def opened(url: str, path: Path) -> Iterator[RemoteRun]:
    """The run at `url` for this driver alone, with a working copy at `path` that holds what is there.

    The lock of `path` has to be held. Raises InputError when the store does not answer, another driver has the run, or
    the copies do not fit.
    """
    run = Storage(url)
    try:
        with Lease(run) as lease:
            remote = RemoteRun(run, lease, path)
            try:
                remote.fetch()
                yield remote
            finally:
                remote.stop()
    except StorageError as error:
        raise unanswered(url, error) from None


def kept_in_store(url: str) -> frozenset[str]:
    """The trials whose fits the run at `url` has. Raises InputError when the store does not answer."""
    try:
        return RemoteTrialFiles(Storage(url).below(WEIGHTS)).names()
    except StorageError as error:
        raise unanswered(url, error) from None


def working_copy(url: str) -> Path:
    """The local folder in which the driver works on the run at `url`."""
    return Path("runs") / url.rstrip("/").rpartition("/")[2]


def unanswered(url: str, error: StorageError) -> InputError:
    """The error line for a store that refuses before the sweep has begun."""
    return InputError(
        f"{url}: the store does not answer as it should ({error}); see that it is up, that the bucket exists, and that "
        "credentials and endpoint are in the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ...)"
    )


def fetch_run(run: Storage, parts: LedgerParts, path: Path) -> None:
    """Have a run folder at `path` hold the search space, identity and ledger of the `run`, as far as there are any."""
    lacking = [name for name in (SPACE, IDENTITY) if not (path / name).exists()]
    found = {name: text for name in lacking if (text := run.read(name)) is not None}
    if not found and not parts.exist():
        return
    path.mkdir(parents=True, exist_ok=True)
    for name, text in found.items():
        write_whole(path / name, text.decode())
    fetch_ledger(parts, Ledger(path / LEDGER))


def _mark(path: Path, url: str) -> None:
    """Write the URL beside its working copy. Raises InputError when the folder belongs to another run."""
    mark = path.parent / f".{path.name}.url"
    known = mark.read_text() if mark.is_file() else None
    if known != url and path.exists() and any(path.iterdir()):
        what = f"a working copy of {known}" if known else "a run folder of its own"
        raise InputError(
            f"{path}: found {what}, expected room for the working copy of {url}; move it away, or start elsewhere"
        )
    mark.write_text(url)
