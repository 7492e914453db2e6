"""Keeps what happens: every finished trial into the ledger first, then to whoever listens."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any
from typing import Protocol as Interface

from orchestrator.protocol import Outcome, Protocol, Selection
from orchestrator.running import Running
from results.ledger import Ledger
from search_spaces.cell import Cell
from search_spaces.complaints import one_line
from trainers.spec import FAILED, STOPPED, UNREADABLE, TrialSpec

Record = dict[str, Any]

VERSIONS = ("flyp-sweep", "torch", "torchvision", "open_clip_torch", "ray", "optuna")


DEATH = "the worker died (killed, or out of memory)"


class Listener(Interface):
    """Hears of a sweep's progress, in the driver's thread: it must be quick and must not raise."""

    def finished(self, record: Record) -> None: ...

    def retried(self, spec: TrialSpec, reason: str, pause: float) -> None: ...

    def selected(self, selection: Selection) -> None: ...


class Recorder:
    """The one writer of the ledger, and the one who tells the protocol what came out.

    `trouble` holds what a user has to mend before the sweep can be completed; `broken` is set once the ledger can no
    longer be written: nothing is taken in from then on.
    """

    def __init__(
        self, ledger: Ledger, protocol: Protocol, running: Running, listeners: Sequence[Listener] = ()
    ) -> None:
        self.ledger = ledger
        self.protocol = protocol
        self.running = running
        self.listeners = listeners
        self.trouble: list[str] = []
        self.broken = False
        self._stops: dict[str, Record] = {}
        self._crashes: dict[str, tuple[str, str | None]] = {}
        self._versions = {name: version(name) for name in VERSIONS} | {"python": platform.python_version()}

    def write_selections(self, selections: Sequence[Selection], known: Mapping[Cell, Record]) -> None:
        """Append the selections that are not the `known` last one of their cell."""
        for selection in selections:
            if known.get(selection.plan.cell) != selection.to_json():
                self._write_selection(selection)

    def stopped_by_scheduler(self, spec: Mapping[str, Any], epoch: Mapping[str, Any]) -> None:
        """Note that the scheduler stops this trial after `epoch`; its end follows in `ended`."""
        self._stops[TrialSpec.from_json(spec).trial_id] = {
            "status": STOPPED,
            "seconds": epoch["time_total_s"],
            "result": {name: epoch[name] for name in ("score", "loss", "best_epoch", "curve", "notes")}
            | {"epochs": epoch["epoch"], "metric": None, "alpha": None, "evaluations": []},
        }

    def crashed(self, spec: Mapping[str, Any], error: BaseException | None) -> None:
        """Note why the worker of this trial is gone; `retried` or `ended` follows."""
        trial_id = TrialSpec.from_json(spec).trial_id
        self._crashes[trial_id] = death_of(error, self.running.trace(trial_id))

    def retried(self, spec: TrialSpec, pause: float) -> None:
        """The trial whose worker crashed will be started again after `pause` seconds."""
        reason, _ = self._crashes.pop(spec.trial_id, (DEATH, None))
        for listener in self.listeners:
            listener.retried(spec, reason, pause)

    def ended(self, spec: TrialSpec, result: Mapping[str, Any] | None, *, attempts: int = 0) -> None:
        """Take in the end of a trial: ledger, protocol, listeners, in this order.

        `attempts` counts those that crashed in a row, when the last one did; 0: none did.
        """
        if self.broken:
            return
        ending: Record | None = self._stops.pop(spec.trial_id, None)
        if result and "ending" in result:
            ending = json.loads(result["ending"])
        elif attempts:
            reason, log = self._crashes.pop(spec.trial_id, (DEATH, None))
            times = f" ({attempts} times in a row)" if attempts > 1 else ""
            ending = {"status": FAILED, "reason": f"{reason}{times}", "log": log, "seconds": 0.0}
        if ending is None:
            return  # interrupted: no result, so nothing to keep; the next run takes the trial up again
        if ending["status"] == UNREADABLE:
            self.trouble.append(ending["reason"])
            self.protocol.give_up(spec.trial_id)
            return
        record = self._record(spec, ending)
        if not self._append(record):
            return
        self.running.forget(spec.trial_id)
        selection = self.protocol.finish(Outcome.of(record))
        for listener in self.listeners:
            listener.finished(record)
        if selection is not None:
            self._write_selection(selection)

    def _write_selection(self, selection: Selection) -> None:
        if self._append(selection.to_json()):
            for listener in self.listeners:
                listener.selected(selection)

    def _append(self, record: Record) -> bool:
        """Whether the record is in the ledger; if not, the sweep has to end."""
        try:
            self.ledger.append(record)
        except OSError as error:
            self.broken = True
            self.trouble.append(
                f"{self.ledger.path}: cannot be written ({error.strerror or error}); free space or mend the folder"
            )
        return not self.broken

    def _record(self, spec: TrialSpec, ending: Mapping[str, Any]) -> Record:
        """The ledger's line: what was run, how it ended, what came out."""
        empty = dict.fromkeys(("score", "loss", "metric", "best_epoch", "epochs", "alpha"))
        settings = spec.to_json()
        told = {name: settings.pop(name) for name in ("cell", "stage", "seed", "hparams")}
        return {
            "kind": "trial",
            "trial_id": spec.trial_id,
            **told,
            "config_id": spec.config_id,
            "settings": settings,
            "status": ending["status"],
            "reason": ending.get("reason"),
            **(ending.get("result") or {**empty, "curve": [], "evaluations": [], "notes": []}),
            "log": ending.get("log"),
            "seconds": round(ending["seconds"], 3),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": self._versions,
        }


def death_of(error: BaseException | None, trace: str | None) -> tuple[str, str | None]:
    """The reason, and what there is of a log, of a worker that is gone; `trace` is where it hung, if it did."""
    if trace is not None:
        return "the worker hung: it reported nothing for failures.hang_minutes", trace
    cause = getattr(error, "cause", None)
    if isinstance(cause, Exception):
        return f"{type(cause).__name__}: {one_line(str(cause))}", str(error)
    if type(error).__name__ == "OutOfMemoryError":
        return "the machine ran low on memory, and Ray killed the worker", str(error)
    return DEATH, None if error is None else str(error)
