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
from results.ledger import Ledger
from search_spaces.cell import Cell
from trainers.spec import FAILED, STOPPED, UNREADABLE, TrialSpec

Record = dict[str, Any]

VERSIONS = ("flyp-sweep", "torch", "torchvision", "open_clip_torch", "ray", "optuna")


class Listener(Interface):
    """Hears of a sweep's progress, in the driver's thread: it must be quick and must not raise."""

    def finished(self, record: Record) -> None: ...

    def selected(self, selection: Selection) -> None: ...


class Recorder:
    """The one writer of the ledger, and the one who tells the protocol what came out."""

    def __init__(self, ledger: Ledger, protocol: Protocol, listeners: Sequence[Listener] = ()) -> None:
        self.ledger = ledger
        self.protocol = protocol
        self.listeners = listeners
        self.unreadable: list[str] = []
        self._stops: dict[str, Record] = {}
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

    def ended(self, spec: TrialSpec, result: Mapping[str, Any] | None, *, crashed: bool) -> None:
        """Take in the end of a trial: ledger, protocol, listeners, in this order."""
        ending: Record | None = self._stops.pop(spec.trial_id, None)
        if result and "ending" in result:
            ending = json.loads(result["ending"])
        elif ending is None and not crashed:
            return  # interrupted: no result, so nothing to keep; the next run starts the trial again
        if ending is None:
            ending = {"status": FAILED, "reason": "the worker died (killed, or out of memory)", "seconds": 0.0}
        if ending["status"] == UNREADABLE:
            self.unreadable.append(ending["reason"])
            self.protocol.give_up(spec.trial_id)
            return
        record = self._record(spec, ending)
        self.ledger.append(record)
        selection = self.protocol.finish(Outcome.of(record))
        for listener in self.listeners:
            listener.finished(record)
        if selection is not None:
            self._write_selection(selection)

    def _write_selection(self, selection: Selection) -> None:
        self.ledger.append(selection.to_json())
        for listener in self.listeners:
            listener.selected(selection)

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
