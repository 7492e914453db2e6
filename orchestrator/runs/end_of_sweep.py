"""The end of a sweep: outputs written and shown, MLflow and loggers brought up to date, and the command to go on."""

from __future__ import annotations

import logging
import shlex
import time
from typing import TYPE_CHECKING

from flyp_sweep.orchestrator.exit_codes import BAD_INPUT, INTERRUPTED, SOME_FAILED
from flyp_sweep.orchestrator.run_log import LOG
from flyp_sweep.orchestrator.store.lock import lost
from flyp_sweep.orchestrator.store.remote_run import RemoteRun
from flyp_sweep.orchestrator.tracking.credentials import has_credentials, redacted
from flyp_sweep.orchestrator.tracking.numbers import sweep_metrics
from flyp_sweep.orchestrator.tracking.uris import default_uri
from flyp_sweep.results.analysis.evidence import read_evidence
from flyp_sweep.results.durations import duration
from flyp_sweep.results.files import UnwritableError
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.errors import InputError

if TYPE_CHECKING:
    from flyp_sweep.orchestrator.runs.end_screen import EndScreen
    from flyp_sweep.orchestrator.runs.sweep import Sweep

log = logging.getLogger(__name__)


def report(sweep: Sweep) -> int:
    """Write and print the results, bring MLflow up to date, and say how to resume; returns the exit code.

    Raises InputError where no trial has ended in this run, for there is nothing else to say than why.
    """
    replaced = lost(sweep.folder.path)
    if replaced and replaced not in sweep.recorder.trouble:
        sweep.recorder.trouble.append(replaced)
    _close_loggers(sweep)
    if sweep.recorder.trouble and sweep.lost() is None and not sweep.progress.this_run:
        raise InputError(sweep.recorder.trouble[0])
    shown = _shown(sweep) if sweep.protocol.outcomes and not replaced else None
    sweep.say(_time(sweep))
    for line in shown.paths if shown else ():
        sweep.say(line)
    if sweep.remote and not replaced:
        _publish(sweep, sweep.remote)
    for reason in sweep.recorder.trouble[:1]:
        sweep.say(f"error: {reason}", style="red")
    if sweep.exit_code == SOME_FAILED:
        again = "" if sweep.options.retry_failed else " --retry-failed"
        sweep.say(f"try failed trials again with: {sweep.options.command}{again}")
    elif sweep.exit_code in (BAD_INPUT, INTERRUPTED):
        sweep.say(sweep.options.how_to_go_on)
    elif shown:
        sweep.say(f"next: {shown.next_step}")
    return sweep.exit_code


def _time(sweep: Sweep) -> str:
    """How many trials this run has finished, and in which time."""
    count = sweep.progress.this_run
    if count == 0:
        return "no trial was left to run" if sweep.protocol.done else "no trial has finished"
    failed = sum(sweep.progress.failed.values())
    told = f", {failed:,} of them failed" if failed else ""
    return f"{counted(count, 'trial')} in {duration(time.monotonic() - sweep.began)}{told}"


def _shown(sweep: Sweep) -> EndScreen | None:
    """The end screen, when the outputs are written; None, and trouble, where they cannot be."""
    try:
        return _write_outputs(sweep)
    except (OSError, UnwritableError) as error:
        said = str(error)
        if isinstance(error, OSError):
            said = f"{error.filename or sweep.folder.path}: cannot be written ({error.strerror})"
        sweep.recorder.trouble.append(said)
    return None


def _write_outputs(sweep: Sweep) -> EndScreen:
    """Write all files of the run, show the warnings and the small table, and bring MLflow up to date."""
    from flyp_sweep.orchestrator.runs.end_screen import EndScreen  # seconds of statistics
    from flyp_sweep.results import render
    from flyp_sweep.results.outputs import write_outputs

    sweep.say("writing tables, figures and the report")
    if sweep.remote:
        sweep.remote.fetch_predictions()
    outputs = write_outputs(sweep.folder, sweep.space.cells())
    address = sweep.remote.url if sweep.remote else shlex.quote(str(sweep.folder.path))
    shown = EndScreen(outputs, address, sweep.folder.path / LOG, sweep.options.mlflow)
    for line in shown.warnings:
        log.info("%s", line)  # the screen may have no room for all
    try:
        shown.print(sweep.console)
    except Exception:
        log.exception("the table cannot be printed")  # it is written
    uri = sweep.options.mlflow
    behind = sweep.mirror.close(render(outputs.table, "markdown"), complete=sweep.protocol.complete)
    if not behind and sweep.protocol.complete and sweep.space.mlflow.register_best:
        from flyp_sweep.orchestrator.runs.registration import registered

        place = uri or default_uri(sweep.folder.path)
        folder = RunFolder(sweep.folder.path, sweep.remote.url if sweep.remote else None)
        behind = registered(folder, sweep.options.data_root.resolve(), place, sweep.say)
    if behind:
        named = f" --mlflow {uri}" if uri and not has_credentials(uri) else ""
        command = f"flyp-sweep sync {sweep.folder.path}{named}"
        sweep.say(f"MLflow is behind ({redacted(behind)}); bring it up to date: {command}")
    return shown


def _close_loggers(sweep: Sweep) -> None:
    """End all logs, and the mirror too if there are no outputs for it."""
    if not sweep.protocol.outcomes:
        sweep.mirror.leave()
    if not sweep.loggers:
        return
    means = sweep_metrics(read_evidence(sweep.folder, sweep.space.cells()), sweep.space)
    for one in sweep.loggers:
        if trouble := one.close(means):
            sweep.say(f"warning: the logger {one.logger.name} is behind ({redacted(trouble)})", style="yellow")


def _publish(sweep: Sweep, remote: RemoteRun) -> None:
    behind = remote.close(hurry=not sweep.protocol.done)
    if behind is None:
        sweep.say(f"published: {remote.url}")
    else:
        line = f"{remote.url}: is behind {remote.path} ({redacted(behind)})"
        sweep.recorder.trouble.append(behind if remote.lost else line)
