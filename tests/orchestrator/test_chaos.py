"""Whatever dies, the sweep ends with the numbers of one in which nothing died; no trial is lost, and none is run twice.

`make chaos` runs all of it, with a small sweep and with the quickstart. In `make test` one worker, one node and one
driver die, each at a moment that its test chooses: see `test_faults`, `test_cluster` and `test_sweep`.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest
from commands import SMALL, numbers, start, trials, wait_for_trials
from finished import Finish
from nodes import ROOT, ended, head, node
from pandas.testing import assert_frame_equal
from processes import workers
from stores import BUCKET, s3_server
from waiting import answers, free_port, until

from flyp_sweep.search_spaces.loading import dump, load

pytestmark = pytest.mark.chaos

EXPENDABLE = ("--set", "failures.max_failures=1000", "--set", "failures.backoff_seconds=0")
SAVING = ("--set", "checkpoints.every_seconds=0")

Sweep = tuple[str, Path]


@pytest.fixture(scope="module", params=["small", "quickstart"])
def sweep(request: pytest.FixtureRequest, finish: Finish) -> Sweep:
    """The name of a sweep, and a folder that holds its YAML and the run in which nothing went wrong."""
    text = SMALL if request.param == "small" else dump(load("quickstart"))
    return request.param, finish(request.param, text).folder


def launch(sweep: Sweep, cwd: Path, *options: object) -> subprocess.Popen[str]:
    name, folder = sweep
    return start("run", folder / f"{name}.yaml", *options, cwd=cwd)


def assert_as_if_nothing_had_happened(sweep: Sweep, cwd: Path) -> None:
    name, folder = sweep
    records = trials(cwd / "runs" / name)
    assert len({record["trial_id"] for record in records}) == len(records), "no trial is run twice"
    assert numbers(cwd / "runs" / name) == numbers(folder / "runs" / name)
    found, expected = (pd.read_parquet(one / "runs" / name / "results.parquet") for one in (cwd, folder))
    order = ["trial_id", "alpha", "split", "metric"]
    assert_frame_equal(
        found.sort_values(order, ignore_index=True), expected.sort_values(order, ignore_index=True), check_exact=True
    )
    assert not (cwd / "runs" / name / "running").exists()


def test_the_driver_is_killed_at_random_moments(sweep: Sweep, tmp_path: Path) -> None:
    """With the quickstart 30 times, over as many sweeps as that takes."""
    chance = random.Random(20_261_122)
    kills, wanted, round_ = 0, 30 if sweep[0] == "quickstart" else 2, 0
    while kills < wanted:
        round_ += 1
        cwd = tmp_path / f"round {round_}"
        cwd.mkdir()
        code = None
        while code is None:
            driver = launch(sweep, cwd, *SAVING)
            with ended(driver):
                try:
                    driver.communicate(timeout=chance.uniform(5, 35) if kills < wanted else 600)
                    code = driver.returncode
                except subprocess.TimeoutExpired:
                    driver.kill()
                    kills += 1
        assert code == 0
        assert_as_if_nothing_had_happened(sweep, cwd)
    print(f"{sweep[0]}: driver killed {kills} times over {round_} sweeps")


def test_a_random_worker_is_killed_every_20_seconds(sweep: Sweep, tmp_path: Path) -> None:
    chance = random.Random(7)
    driver, kills = launch(sweep, tmp_path, *EXPENDABLE, *SAVING), 0
    began = time.monotonic()
    with ended(driver), (tmp_path / "output").open("w") as output:
        while driver.poll() is None:
            assert time.monotonic() - began < 1800
            wait(20, driver)
            alive = workers(driver.pid)
            slot = chance.randrange(os.cpu_count() or 1)
            if slot < len(alive):
                with contextlib.suppress(psutil.NoSuchProcess):
                    alive[slot].kill()
                    kills += 1
        output.write(driver.communicate()[0])
    assert driver.returncode == 0, (tmp_path / "output").read_text()
    assert kills
    assert_as_if_nothing_had_happened(sweep, tmp_path)
    print(f"{sweep[0]}: {kills} workers killed in {time.monotonic() - began:.0f} s")


def test_the_mlflow_server_comes_and_goes(sweep: Sweep, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    name, folder = sweep
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    driver = launch(sweep, tmp_path, "--mlflow", uri)
    with ended(driver):
        serving = True
        while driver.poll() is None:
            if serving:
                with mlflow_server(tmp_path, port):
                    wait(8, driver)
            else:
                wait(6, driver)
            serving = not serving
        output, _ = driver.communicate()
        assert driver.returncode == 0, output
    with mlflow_server(tmp_path, port):
        subprocess.run(
            [sys.executable, "-m", "flyp_sweep", "sync", f"runs/{name}", "--mlflow", uri],
            cwd=tmp_path, env=dict(os.environ, PYTHONPATH=str(ROOT)), check=True,
        )  # fmt: skip
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name(load(folder / f"{name}.yaml").name)
        runs = client.search_runs([experiment.experiment_id], max_results=1000)
        mirrored = sorted(run.data.tags["flyp_sweep.trial_id"] for run in runs if "stage" in run.data.tags)
        assert len([run for run in runs if run.data.tags["flyp_sweep.kind"] == "sweep"]) == 1
    assert mirrored == sorted(numbers(folder / "runs" / name))
    assert_as_if_nothing_had_happened(sweep, tmp_path)
    before, after = (sum(record["seconds"] for record in trials(one / "runs" / name)) for one in (folder, tmp_path))
    print(f"{name}: seconds in trials, the server coming and going / a local store: {after / before:.3f}")


@contextlib.contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[None]:
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/served.db", "--artifacts-destination", f"{folder}/served"]
    environment = dict(os.environ, MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false", MLFLOW_DISABLE_TELEMETRY="true")
    server = subprocess.Popen(command, env=environment, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with ended(server):
        until(lambda: answers(f"http://127.0.0.1:{port}/health"))  # it takes connections long before
        yield


def wait(seconds: float, driver: subprocess.Popen[str]) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        driver.wait(seconds)


def test_a_node_of_a_cluster_is_killed_and_comes_back(sweep: Sweep, tmp_path: Path) -> None:
    name, _ = sweep
    with head(tmp_path) as address, contextlib.ExitStack() as second:
        second.enter_context(node(tmp_path, "--address", address))
        driver = launch(sweep, tmp_path, "--address", address, *EXPENDABLE, *SAVING)
        with ended(driver):
            for _ in range(3 if name == "quickstart" else 1):
                wait_for_trials(tmp_path / "runs" / name, len(trials(tmp_path / "runs" / name)) + 3, driver)
                second.close()
                wait(3, driver)
                second.enter_context(node(tmp_path, "--address", address))
            output, _ = driver.communicate(timeout=900)
    assert driver.returncode == 0, output
    assert "again in" in output, "the node had a worker"
    assert_as_if_nothing_had_happened(sweep, tmp_path)


def test_nodes_that_share_no_files_save_their_trials_in_a_store_and_go_on_from_there(
    sweep: Sweep, tmp_path: Path
) -> None:
    name, _ = sweep
    with s3_server(tmp_path / "requests"), head(tmp_path) as address, contextlib.ExitStack() as second:
        url = f"s3://{BUCKET}/runs/{name}"
        second.enter_context(node(tmp_path, "--address", address))
        driver = launch(sweep, tmp_path, "--address", address, "--out", url, *EXPENDABLE, *SAVING)
        with ended(driver):
            while not went_on(tmp_path / "requests") and driver.poll() is None:
                second.close()
                wait(1, driver)
                second.enter_context(node(tmp_path, "--address", address))
                wait(6, driver)
            output, _ = driver.communicate(timeout=900)
    assert driver.returncode == 0, output
    assert went_on(tmp_path / "requests")
    assert not (tmp_path / "runs" / name / "running").exists(), "nothing is saved in the working copy"
    assert_as_if_nothing_had_happened(sweep, tmp_path)


def went_on(requests: Path) -> bool:
    """Whether a trial has found a checkpoint in the store."""
    return re.search(r'"GET \S+/running/\S+ HTTP/1.1" 20', requests.read_text()) is not None
