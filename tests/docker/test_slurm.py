"""The Slurm script with real nodes of Ray on addresses of this machine; only `srun` and `scontrol` are stand-ins."""

from __future__ import annotations

import random
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import numbers, trials
from finished import Finished
from services import DOCKER, ROOT, Service, environment, launch, running
from waiting import free_port

SCRIPT = DOCKER / "slurm" / "sweep.sbatch"

SRUN = """#!/bin/bash
# A node is an address of the loopback interface; only the options that the script should need are known.
while [[ $1 == --* ]]; do
    case $1 in
    --nodelist=*) export SLURMD_NODENAME=${1#*=} RAY_NODE_IP=${1#*=} ;;
    --nodes=1 | --ntasks=1 | --overlap | --cpus-per-task=1) ;;
    *) echo "srun: unrecognized option '$1'" >&2; exit 1 ;;
    esac
    shift
done
echo "srun $SLURMD_NODENAME ${*##*/}" >>"$CALLS"
exec "$@"
"""
SCONTROL = """#!/bin/bash
case $1-$2 in
show-hostnames) printf '%s\\n' 127.0.0.2 127.0.0.3 ;;
requeue-*) echo "scontrol $*" >>"$CALLS" ;;
*) echo "scontrol: invalid $*" >&2; exit 1 ;;
esac
"""


@dataclass
class Slurm:
    """A job of two nodes, which can be started several times."""

    folder: Path
    job: int

    @property
    def calls(self) -> list[str]:
        """What Slurm was asked for."""
        return (self.folder / "calls").read_text().splitlines()

    @property
    def temporary(self) -> Path:
        return Path(f"/tmp/ray-{self.job}")

    def start(self, *arguments: object, **variables: object) -> Service:
        told = environment(SLURM_JOB_ID=self.job, SLURM_JOB_NODELIST="127.0.0.[2-3]", SLURM_SUBMIT_DIR=self.folder)
        told |= {"SLURM_CPUS_PER_TASK": "1", "RAY_CPUS_WANTED": "2", "RAY_HEAD_PORT": str(free_port())}
        told |= {"FLYP_SWEEP_SOURCE": str(ROOT), "FLYP_SWEEP_BIN": str(Path(sys.executable).parent)}
        told |= {"PATH": f"{self.folder / 'bin'}:{told['PATH']}", "CALLS": str(self.folder / "calls")}
        told |= {name: str(value) for name, value in variables.items()}
        return launch(["bash", SCRIPT, *map(str, arguments)], self.folder / "job.log", told)


@pytest.fixture
def slurm(tmp_path: Path) -> Slurm:
    binaries = tmp_path / "bin"
    binaries.mkdir()
    for name, text in {"srun": SRUN, "scontrol": SCONTROL}.items():
        (binaries / name).write_text(text)
        (binaries / name).chmod(0o755)
    return Slurm(tmp_path, random.randrange(100_000, 1_000_000))


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        ([], {}, "found no search space; expected sbatch [...] sweep.sbatch SPACE [OPTIONS]"),
        (["quickstart"], {"SLURM_JOB_ID": ""}, "found no job of Slurm; submit this file with sbatch"),
        (
            ["quickstart"],
            {"FLYP_SWEEP_SOURCE": "/nowhere"},
            "found no docker/entrypoints in /nowhere; call sbatch in the repository, or set FLYP_SWEEP_SOURCE",
        ),
    ],
)
def test_what_a_job_lacks_is_said(slurm: Slurm, arguments: list[str], variables: dict[str, str], said: str) -> None:
    with running(slurm.start(*arguments, **variables)) as job:
        assert job.wait() == 2
        assert job.output == f"sweep.sbatch: {said}\n"


@pytest.mark.slow
def test_a_job_whose_time_is_up_saves_its_trials_and_asks_for_the_queue(slurm: Slurm, small: Finished) -> None:
    shutil.copy(small.space, slurm.folder / "space.yaml")
    with running(slurm.start("space.yaml")) as job:
        job.until(lambda: len(trials(slurm.folder / "runs" / "small")) >= 2, seconds=120)
        assert not job.stop(with_signal=signal.SIGUSR1), "all nodes have ended"
    assert job.process.returncode == 130, job.output
    assert slurm.calls[-1] == f"scontrol requeue {slurm.job}", "after which Slurm ends what is left of the job"
    assert not slurm.temporary.exists()
    done = trials(slurm.folder / "runs" / "small")
    expected = numbers(small.run)
    assert {record["trial_id"] for record in done} < expected.keys()
    nodes = [f"srun 127.0.0.{number} ray-{kind}.sh" for number, kind in ((2, "head"), (3, "worker"))]
    assert sorted(slurm.calls[:2]) == nodes


@pytest.mark.chaos
def test_a_job_that_is_cancelled_and_started_again_ends_with_the_numbers_of_a_local_sweep(
    slurm: Slurm, small: Finished
) -> None:
    shutil.copy(small.space, slurm.folder / "space.yaml")
    found = slurm.folder / "runs" / "small"
    with running(slurm.start("space.yaml")) as job:
        job.until(lambda: len(trials(found)) >= 2, seconds=120)
        assert not job.stop()
    assert job.process.returncode == 130, job.output
    assert not any(call.startswith("scontrol requeue") for call in slurm.calls), "whoever cancels means it"
    with running(slurm.start("space.yaml", SLURM_RESTART_COUNT=1)) as again:
        assert again.wait(300) == 0, again.output
    assert len(trials(found)) == len(numbers(found))
    assert numbers(found) == numbers(small.run)
    assert not slurm.temporary.exists()
