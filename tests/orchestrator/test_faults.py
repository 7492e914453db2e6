"""What goes wrong while a sweep runs: workers that die, hang or meet a bad disk; a full disk; signals; passwords."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import psutil
import pytest
from commands import QUICK, SMALL, call, numbers, run, start, trials
from processes import family, wait_until_gone
from serial_engine import run_serially
from waiting import until

pytestmark = pytest.mark.slow

FAULTY = '''
"""FT that misbehaves once or always, by the seed of a repeat, unless a file `mended` lies beside this one."""

import os
import re
import signal
import time
from pathlib import Path

from flyp_sweep.trainers.methods.ft import FineTuning

HERE = Path(__file__).parent


def first_time(what):
    try:
        (HERE / what).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


class Faulty(FineTuning):
    name = "faulty"
    rng = None

    def start(self, task):
        if doomed(task) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if doomed(task) == 2:
            if first_time("second one killed"):
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(1000)
        return super().start(task)

    def inputs(self, batch, task):
        if batch.rng is not self.rng:  # every epoch has a stream of its own
            self.rng = batch.rng
            begin_epoch(task)
        return super().inputs(batch, task)


def doomed(task):
    return task.spec.seed if task.spec.stage == "repeat" and not (HERE / "mended").exists() else None


def begin_epoch(task):
    if task.device.type == "meta":
        return  # the rehearsal before the sweep
    epochs = HERE / f"{task.spec.trial_id}.epochs"
    epoch = 1 + (len(epochs.read_text().splitlines()) if epochs.exists() else 0)
    if doomed(task) == 0 and epoch == 3 and first_time("killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    if doomed(task) == 3 and epoch == 3 and first_time("bad disk"):
        raise OSError(5, "Input/output error")
    with epochs.open("a") as file:
        print(task.spec.stage, task.spec.seed, epoch, file=file)
'''

SPACE = """
name: faults
dataset: digits
shots: 4
model: {arch: digits-clip, pretrained: bundled}
methods: ["faulty:Faulty"]
train: {epochs: 3, batch_size: 20}
search: {algorithm: random, num_samples: 1, space: {lr: 1.0e-3, weight_decay: 0.1}}
early_stopping: {patience: 9}
repeats: {seeds: 5}
wise_ft: {alphas: 3}
checkpoints: {every_seconds: 0}
failures: {max_failures: 1, backoff_seconds: 0.1, hang_minutes: 0.4}
"""


SECRET = "hunter2"
STORE = f"http://someone:{SECRET}@127.0.0.1:9"
"""A tracking server that is down."""


@pytest.fixture(scope="module")
def rays_files() -> Iterator[Path]:
    """Where Ray keeps its logs: its sockets allow no long path."""
    with tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True) as short:
        yield Path(short)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory, rays_files: Path) -> tuple[Path, str, dict[int, dict]]:
    """A folder in which the sweep has met every fault, what it printed, and its repeats by seed."""
    folder = tmp_path_factory.mktemp("faulty")
    (folder / "faulty.py").write_text(FAULTY)
    (folder / "faults.yaml").write_text(SPACE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", STORE)
        patch.setenv("RAY_TMPDIR", str(rays_files))
        patch.setenv("RAY_ADDRESS", "127.0.0.1:9")  # as in Ray's own jobs; without --address this machine is meant
        code, output = run("run", "faults.yaml", cwd=folder, path=folder)
    assert code == 1, output
    return folder, output, {one["seed"]: one for one in trials(folder / "runs/faults") if one["stage"] == "repeat"}


def test_a_trial_goes_on_in_another_worker_where_the_last_one_died(faulty):
    folder, output, repeats = faulty
    assert [repeats[seed]["status"] for seed in (0, 3, 4)] == ["done"] * 3
    seen = Counter(line for path in folder.glob("*.epochs") for line in path.read_text().splitlines())
    assert seen == Counter(
        f"{stage} {seed} {epoch}"
        for stage, seed in [("repeat", 0), ("repeat", 3), ("repeat", 4)]
        for epoch in (1, 2, 3)
    )
    assert "again in 0.1 s" in output
    assert "OSError: [Errno 5] Input/output error" in output


def test_a_trial_that_keeps_failing_is_recorded_with_its_reason_and_marked_in_the_table(faulty):
    folder, output, repeats = faulty
    assert repeats[1]["status"] == repeats[2]["status"] == "failed"
    assert repeats[1]["reason"] == (
        "its worker died (killed, often for want of memory, or its machine is gone) (2 times in a row)"
    )
    assert "it hung: it reported nothing within failures.hang_minutes" in repeats[2]["reason"]
    assert 'faulty.py", line' in repeats[2]["log"]
    assert "3 of 5" in output
    assert "--retry-failed" in output
    code, status = call("status", "runs/faults", cwd=folder)
    assert code == 0
    assert repeats[2]["reason"] in " ".join(status.split())
    assert not (folder / "runs/faults/running").exists()


def test_retrying_what_failed_ends_as_if_nothing_had(faulty, tmp_path, monkeypatch):
    folder, _, _ = faulty
    for name in ("faulty.py", "faults.yaml"):
        shutil.copy(folder / name, tmp_path)
    (tmp_path / "mended").touch()
    monkeypatch.syspath_prepend(tmp_path)
    retried, undisturbed = tmp_path / "retried", tmp_path / "undisturbed"
    shutil.copytree(folder / "runs/faults", retried)
    code, output = run_serially("faults.yaml", cwd=tmp_path, out=retried, retry_failed=True)
    assert code == 0, output
    code, output = run_serially("faults.yaml", cwd=tmp_path, out=undisturbed)
    assert code == 0, output
    assert len(numbers(undisturbed)) == 5
    assert numbers(retried) == numbers(undisturbed)
    tables = [run / "tables/comparison.csv" for run in (retried, undisturbed)]
    assert tables[0].read_bytes() == tables[1].read_bytes()


@contextlib.contextmanager
def two_long_trials(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The driver of a sweep with two trials in their second epoch or later, of 500."""
    (folder / "faulty.py").write_text(FAULTY)
    (folder / "mended").touch()
    text = SMALL.replace("[zeroshot, lp, ft, flyp]", "[zeroshot, 'faulty:Faulty']").split("  per_method")[0]
    (folder / "small.yaml").write_text(text.replace("epochs: 2", "epochs: 500") + "early_stopping: {patience: 500}\n")
    driver = start("run", "small.yaml", cwd=folder)
    until(lambda: [path.read_text().count("\n") > 1 for path in folder.glob("*.epochs")] == [True, True])
    everything = family(driver.pid)
    yield driver
    wait_until_gone(everything)


@pytest.mark.parametrize("interrupt", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_ray_saves_what_is_under_way_and_writes_what_there_is(tmp_path, interrupt):
    with two_long_trials(tmp_path) as driver:
        if interrupt == signal.SIGTERM:
            driver.send_signal(interrupt)  # Ray's C++ would hear it, if it could
        else:
            os.killpg(driver.pid, interrupt)  # as a terminal does; Ray's processes do not listen
        output, _ = driver.communicate(timeout=60)
        assert driver.returncode == 130, output
        assert "tables: runs/small/tables" in output
        assert (tmp_path / "runs/small/tables/comparison.txt").is_file()
        assert "nothing is lost; go on with: flyp-sweep run small.yaml" in output
        assert "Traceback" not in output
        assert len(list((tmp_path / "runs/small/running").glob("*.safetensors"))) == 2


@pytest.mark.chaos
def test_a_signal_to_all_processes_ends_the_sweep_in_time(tmp_path):
    with two_long_trials(tmp_path) as driver:
        everything = family(driver.pid)[1:]
        driver.terminate()
        for process in everything:  # Ray's servers too, as Slurm does; they kill their workers on the spot
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        output, _ = driver.communicate(timeout=60)
        assert driver.returncode == 130, output
        assert "error" not in output
        assert "nothing is lost; go on with: flyp-sweep run small.yaml" in output
        assert "Traceback" not in output


@pytest.mark.chaos
@pytest.mark.parametrize("server", ["raylet", "gcs_server"])
def test_a_server_of_ray_that_dies_is_said_and_ends_the_sweep(tmp_path, server):
    with two_long_trials(tmp_path) as driver:
        (process,) = [one for one in psutil.Process(driver.pid).children() if one.name() == server]
        process.kill()
        output, _ = driver.communicate(timeout=60)
        assert driver.returncode == 130, output
        assert "error: Ray's servers have ended" in output
        assert "nothing is lost; go on with: flyp-sweep run small.yaml" in output
        assert "Traceback" not in output


@pytest.mark.parametrize("moment", ["the folder is locked", "the trials are planned"])
def test_a_signal_before_the_first_trial_ends_it_as_well(tmp_path, moment):
    (tmp_path / "small.yaml").write_text(SMALL)
    driver = start("run", "small.yaml", cwd=tmp_path)
    if moment == "the folder is locked":
        until((tmp_path / "runs/.small.owner").exists)
    else:
        assert any("trials planned" in line for line in driver.stdout)
    everything = family(driver.pid)
    driver.send_signal(signal.SIGTERM)
    output, _ = driver.communicate(timeout=60)
    assert driver.returncode == 130, output
    assert "go on with: flyp-sweep run small.yaml" in output
    assert "Traceback" not in output
    wait_until_gone(everything)


@contextlib.contextmanager
def small_disk(path: Path, size: str) -> Iterator[None]:
    """A disk of its own at `path`."""
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], capture_output=True)
    if mounted.returncode:
        pytest.skip("a disk of a given size needs the right to mount one")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def test_a_disk_without_room_is_said_before_the_start(tmp_path):
    (tmp_path / "quick.yaml").write_text(QUICK)
    with small_disk(tmp_path / "disk", "40k"):
        code, output = call("run", "quick.yaml", "--out", "disk/runs/quick", cwd=tmp_path)
        assert code == 2, output
        assert re.search(
            r"error: disk/runs/quick: found [\d.]+ kB of free space; the run takes about [\d.]+ kB", output
        )
        assert not (tmp_path / "disk/runs/quick/ledger.jsonl").exists()


def test_a_read_only_ledger_is_said_before_the_start(tmp_path):
    (tmp_path / "quick.yaml").write_text(QUICK)
    with small_disk(tmp_path / "disk", "20m"):
        assert run_serially("quick.yaml", cwd=tmp_path, out=Path("disk/quick"))[0] == 0
        subprocess.run(["mount", "-o", "remount,ro", tmp_path / "disk"], check=True)
        code, output = call("run", "quick.yaml", "--out", "disk/quick", "--set", "repeats.seeds=3", cwd=tmp_path)
        assert (code, output.count("\n")) == (2, 1), output
        assert "cannot be written" in output


def test_a_disk_that_is_full_ends_the_sweep_with_a_whole_ledger_and_once_there_is_room_it_goes_on(tmp_path):
    (tmp_path / "quick.yaml").write_text(QUICK)
    folder = tmp_path / "runs/quick"
    written = os.fsync

    def full(descriptor):
        if len(trials(folder)) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        written(descriptor)

    with mock.patch("os.fsync", full):
        code, output = run_serially("quick.yaml", cwd=tmp_path)
    assert code == 2, output
    assert "ledger.jsonl: cannot be written (No space left on device)" in output
    assert "nothing is lost; go on with: flyp-sweep run" in output
    assert len(trials(folder)) == 3
    ledger = (folder / "ledger.jsonl").read_bytes()
    assert ledger.endswith(b"\n")
    code, output = run_serially("quick.yaml", cwd=tmp_path)
    assert code == 0, output
    assert (folder / "ledger.jsonl").read_bytes().startswith(ledger)
    assert len(numbers(folder)) == 1 + 3 + 1


def test_a_folder_that_cannot_be_written_is_said_before_the_start(tmp_path):
    (tmp_path / "quick.yaml").write_text(QUICK)
    for out in ("/proc/run", str(tmp_path / "quick.yaml" / "run")):
        code, output = call("run", "quick.yaml", "--out", out, cwd=tmp_path)
        assert (code, output.count("\n")) == (2, 1), output
        assert "cannot be written" in output


def test_a_password_on_the_command_line_is_refused_and_not_shown(tmp_path):
    (tmp_path / "quick.yaml").write_text(QUICK)
    code, output = call("run", "quick.yaml", "--mlflow", STORE, cwd=tmp_path)
    assert code == 2
    assert output.count("\n") == 1
    assert "someone:***@127.0.0.1" in output
    assert SECRET not in output


def test_a_tracking_server_that_is_down_is_said_and_its_password_reaches_no_file_and_no_line(faulty, rays_files):
    folder, output, _ = faulty
    assert "MLflow is behind" in output
    assert "bring it up to date: flyp-sweep sync runs/faults\n" in output
    assert "MLflow cannot be written: " in (folder / "runs/faults/log.txt").read_text()
    files = [path for below in (folder, rays_files) for path in below.rglob("*") if path.is_file()]
    assert not list(rays_files.glob("ray/session_2*")), "Ray's own logs go with the sweep"
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
    assert SECRET not in output
