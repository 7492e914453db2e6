from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest

from flyp_sweep.orchestrator.store import lock
from flyp_sweep.orchestrator.store.lock import STALE_SECONDS, leave_behind, living_driver, locked, lost, owner_of
from flyp_sweep.search_spaces.errors import InputError


def leave_owner(path: Path, host: str, silent_for: float) -> None:
    """What a driver on `host` left when it was last seen so many seconds ago."""
    owner = path.parent / f".{path.name}.owner"
    owner.write_text(json.dumps({"host": host, "pid": 4711, "since": "2026-01-02T03:04:05+00:00"}))
    os.utime(owner, (time.time() - silent_for,) * 2)


def test_a_second_driver_is_refused_and_told_who_has_the_folder(tmp_path):
    path = tmp_path / "runs" / "x"
    with (
        locked(path),
        pytest.raises(InputError, match=rf"another flyp-sweep is running .* process {os.getpid()} on "),
        locked(path),
    ):
        pass
    with locked(path):
        pass
    assert not [found for found in path.parent.iterdir() if found.suffix != ".lock"], "nothing of an owner stays behind"


def test_by_whatever_name_one_folder_has_one_lock(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with locked(tmp_path / "real"), pytest.raises(InputError, match="another flyp-sweep"), locked(tmp_path / "link"):
        pass


def test_a_driver_that_leaves_at_once_says_so_and_takes_no_other_s_word_away(tmp_path):
    with locked(tmp_path / "x"):
        leave_behind(tmp_path / "x")
        assert not (tmp_path / ".x.owner").exists()
        leave_owner(tmp_path / "x", "elsewhere", silent_for=0)
    assert (tmp_path / ".x.owner").exists(), "it has become another driver's meanwhile"


def test_a_driver_that_another_one_has_replaced_finds_out(tmp_path):
    with locked(tmp_path / "x"):
        assert lost(tmp_path / "x") is None
        leave_owner(tmp_path / "x", "elsewhere", silent_for=0)
        told = lost(tmp_path / "x")
        assert "another flyp-sweep has taken this run over (process 4711 on elsewhere" in str(told)
        assert "\n" not in str(told)
        (tmp_path / ".x.owner").unlink()
        assert lost(tmp_path / "x") is None, "nobody else has it"


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ESTALE])
def test_a_file_system_that_refuses_locks_is_told_in_a_line(tmp_path, code):
    with (
        mock.patch("fcntl.flock", side_effect=OSError(code, os.strerror(code))),
        pytest.raises(InputError, match=f"cannot be written .{os.strerror(code)}.; mend that or choose another") as no,
    ):
        locked(tmp_path / "x").__enter__()
    assert "\n" not in str(no.value)


def test_a_driver_that_was_killed_on_this_host_leaves_no_lock(tmp_path):
    path = tmp_path / "x"
    code = (
        "import os, sys, pathlib, signal\n"
        "from flyp_sweep.orchestrator.store.lock import locked\n"
        "with locked(pathlib.Path(sys.argv[1])):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, path], cwd=Path(lock.__file__).parents[1], check=False)
    assert (tmp_path / ".x.owner").exists()
    with locked(path):
        assert owner_of(path).pid == os.getpid()


def test_a_driver_on_another_host_counts_as_alive_while_it_gives_signs_of_life(tmp_path):
    path = tmp_path / "x"
    leave_owner(path, "elsewhere", silent_for=STALE_SECONDS - 20)
    with pytest.raises(InputError, match=r"process 4711 on elsewhere, since 2026.*last sign of life \d+ s ago") as no:
        locked(path).__enter__()
    assert "\n" not in str(no.value)
    leave_owner(path, "elsewhere", silent_for=STALE_SECONDS + 20)
    with locked(path):
        assert owner_of(path).pid == os.getpid()


def test_the_driver_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.05)
    with locked(tmp_path / "x"):
        owner = tmp_path / ".x.owner"
        os.utime(owner, (1.0, 1.0))
        deadline = time.monotonic() + 5
        while owner.stat().st_mtime == 1.0:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_garbled_owner_file_is_no_owner(tmp_path):
    for text in ("", "{", "[]", '{"host": "a"}'):
        (tmp_path / ".x.owner").write_text(text)
        with locked(tmp_path / "x"):
            pass


def test_a_reader_tells_a_living_driver_from_a_dead_one(tmp_path):
    path = tmp_path / "x"
    assert living_driver(path) is None
    with locked(path):
        assert living_driver(path) == lock.this_driver()
        os.utime(path.parent / ".x.owner", (0, 0))
        assert living_driver(path) is None, "its process may be a zombie"
    assert living_driver(path) is None
    leave_owner(path, "elsewhere", silent_for=5)
    assert living_driver(path).host == "elsewhere"
    leave_owner(path, "elsewhere", silent_for=STALE_SECONDS + 5)
    assert living_driver(path) is None
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    killed = lock.Owner("here", dead.pid, "2026-01-02T03:04:05+00:00", lock.this_driver().machine)
    (path.parent / ".x.owner").write_text(killed.text)
    assert living_driver(path) is None
