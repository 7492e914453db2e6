"""A logger as a listener of the recorder: a queue in the driver, and a thread that tells the logger."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from queue import SimpleQueue
from threading import Thread

from flyp_sweep.orchestrator.protocol.selection import Selection
from flyp_sweep.orchestrator.tracking.loggers.base import FrontierPoint, LoggedSweep, LoggedTrial, Logger, TrialLog
from flyp_sweep.orchestrator.tracking.names import trial_name, trial_settings
from flyp_sweep.orchestrator.tracking.numbers import epoch_metrics, final_metrics, frontier, report_metrics
from flyp_sweep.results.ledger.running_trials import RunningTrial
from flyp_sweep.results.ledger.schema import TrialRecord
from flyp_sweep.search_spaces.complaints import one_line
from flyp_sweep.trainers.spec import TrialSpec

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 30.0
"""How long the end of a sweep waits for a logger."""
INTERRUPTED = "interrupted"


class LoggerThread:
    """Tells a `Logger` of a sweep, so that the driver never waits for it. It starts with the first news."""

    def __init__(self, logger: Logger, sweep: LoggedSweep) -> None:
        self.logger = logger
        self.sweep = sweep
        self.trouble: str | None = None
        self._news: SimpleQueue[RunningTrial | TrialRecord | Mapping[str, float]] = SimpleQueue()
        self._logs: dict[str, TrialLog] = {}
        self._epochs: dict[str, int] = {}
        self._thread: Thread | None = None

    def started(self, trial: RunningTrial) -> None:
        self._tell(trial)

    def progressed(self, trial: RunningTrial) -> None:
        self._tell(trial)

    def finished(self, record: TrialRecord) -> None:
        self._tell(record)

    def retried(self, spec: TrialSpec, reason: str, pause: float) -> None:
        """The next attempt goes on in the same log."""

    def selected(self, selection: Selection) -> None:
        """A selection has no log."""

    def close(self, means: Mapping[str, float]) -> str | None:
        """End the logs, those of interrupted trials too, and show the `means`; returns the trouble, if any."""
        if self._thread is None:
            return None
        self._news.put(means)
        self._thread.join(PATIENCE_SECONDS)
        return "it is still being written" if self._thread.is_alive() else self.trouble

    def _tell(self, news: RunningTrial | TrialRecord) -> None:
        if self._thread is None:
            self._thread = Thread(target=self._run, name=f"logger-{self.logger.name}", daemon=True)
            self._thread.start()
        self._news.put(news)

    def _run(self) -> None:
        try:
            self.logger.begin(self.sweep)
        except Exception as error:
            self._note(error)
            return
        while True:
            news = self._news.get()
            try:
                if isinstance(news, RunningTrial):
                    self._show(news)
                elif isinstance(news, TrialRecord):
                    self._finish(news)
                else:
                    self._end(news)
                    return
            except Exception as error:  # whatever a tracker can throw: the ledger has the numbers
                self._note(error)

    def _note(self, error: Exception) -> None:
        self.trouble = one_line(str(error)) or type(error).__name__
        log.exception("the logger %s cannot take in what has happened", self.logger.name)

    def _show(self, trial: RunningTrial) -> None:
        log_of = self._log(trial)
        for epoch in trial.epochs:
            if epoch.epoch > self._epochs[trial.trial_id]:
                log_of.epoch(epoch.epoch, report_metrics(epoch))
                self._epochs[trial.trial_id] = epoch.epoch

    def _finish(self, record: TrialRecord) -> None:
        log_of = self._log(record)
        for point in record.curve:
            if point["epoch"] > self._epochs[record.trial_id]:
                log_of.epoch(int(point["epoch"]), epoch_metrics(point))
        del self._logs[record.trial_id], self._epochs[record.trial_id]
        log_of.end(record.status, final_metrics(record), [FrontierPoint(*one) for one in frontier(record)])

    def _end(self, means: Mapping[str, float]) -> None:
        interrupted = [partial(log_of.end, INTERRUPTED, {}, []) for log_of in self._logs.values()]
        for end in [*interrupted, partial(self.logger.end, means)]:
            try:
                end()
            except Exception as error:  # the others end all the same
                self._note(error)

    def _log(self, trial: RunningTrial | TrialRecord) -> TrialLog:
        """The log of a trial; that of one without news so far starts."""
        if trial.trial_id not in self._logs:
            name = trial_name(self.sweep.space, trial.cell, trial.hparams, trial.seed)
            settings = trial_settings(trial.cell, trial.stage, trial.seed, trial.hparams, trial.settings)
            shown = LoggedTrial(trial.trial_id, name, trial.cell.method, trial.stage, settings)
            self._logs[trial.trial_id] = self.logger.start(shown)
            self._epochs[trial.trial_id] = -1
        return self._logs[trial.trial_id]
