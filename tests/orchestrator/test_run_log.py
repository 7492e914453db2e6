"""The log of a run: early lines are kept, and a log that cannot be written disturbs nobody."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from flyp_sweep.orchestrator.run_log import LOG, collecting, note_at_last

OURS, THEIRS = logging.getLogger("flyp_sweep.test"), logging.getLogger("another_library")


def test_lines_from_before_the_run_folder_are_in_its_log_and_later_runs_append(tmp_path: Path) -> None:
    for number in (1, 2):
        with collecting() as write_to:
            OURS.info("early %d", number)
            write_to(tmp_path)
            OURS.info("late %d", number)
            THEIRS.info("chatter")
            THEIRS.warning("trouble %d", number)
    OURS.info("after the run")
    texts = [line.rpartition(": ")[2] for line in (tmp_path / LOG).read_text().splitlines()]
    assert texts == ["early 1", "late 1", "trouble 1", "early 2", "late 2", "trouble 2"]


def test_a_full_disk_leaves_no_traceback(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / LOG).symlink_to("/dev/full")
    with collecting() as write_to:
        write_to(tmp_path)
        OURS.info("a line")
    assert capfd.readouterr() == ("", "")


def test_a_process_that_is_left_at_once_notes_its_last_words_where_there_is_a_log(tmp_path: Path) -> None:
    note_at_last(tmp_path, "too early")
    assert not (tmp_path / LOG).exists()
    (tmp_path / LOG).write_text("a line\n")
    note_at_last(tmp_path, "ended at once:\nnothing is lost")
    first, last = (tmp_path / LOG).read_text().splitlines()
    assert first == "a line"
    assert last.endswith(": ended at once: nothing is lost")
