"""What trials are measured to take."""

from __future__ import annotations

import gc
import json
import platform
import subprocess
import sys

import pytest
import torch
from sweeps import plans_of, space_of

from flyp_sweep.orchestrator.engine.memory import Memory, Meter
from flyp_sweep.orchestrator.engine.trial_process import Place, Server, Settings
from flyp_sweep.trainers.training.checkpoints import Policy

MB = 2**20
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells a peak that can begin anew")


def test_the_peak_is_what_was_held_at_once_and_begins_anew():
    meter = Meter(torch.device("cpu"))
    meter.begin()
    before = meter.read().host
    block = bytearray(300 * MB)
    del block
    assert 290 * MB < meter.read().host - before < 310 * MB
    meter.begin()
    assert meter.read().host < before + 20 * MB


def test_files_that_are_mapped_are_everyone_s(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(bytes(200 * MB))
    meter = Meter(torch.device("cpu"))
    meter.begin()
    before = meter.read().host
    mapped = torch.from_file(str(path), shared=False, size=200 * MB, dtype=torch.uint8)
    assert mapped.max() == 0
    assert meter.read().host - before < 20 * MB


def test_the_larger_of_two_counts_number_by_number():
    assert Memory(1, 5, None).or_more(Memory(3, None, 9)) == Memory(3, 5, 9)
    assert Memory(None).or_more(Memory(None)) == Memory(None)


def test_trials_leave_nothing_behind_for_the_next_one(tmp_path):
    """A trained model is part of circles of references, which Python lets lie for a while: a GPU's memory is too."""
    space = space_of(methods=["flyp"], train={"epochs": 1, "batch_size": 128})
    (plan,) = plans_of(space)
    mapping = space.model_dump(mode="json", exclude_none=True)
    server = Server(
        Settings(mapping, "absent", Policy(tmp_path), torch.get_num_threads(), "cpu", None, "unused"), Place()
    )
    gc.disable()
    try:
        left = []
        for n in range(1, 5):
            server.begin(plan.search_trial({"lr": 0.001 * n, "weight_decay": 0.0}, 0))
            left.append(sum(type(one) is torch.nn.Parameter for one in gc.get_objects()))
            run(server)
    finally:
        gc.enable()
        torch.use_deterministic_algorithms(False)
    assert left[1] == left[2] == left[3]


def run(server: Server) -> None:
    while "ending" not in (reply := server.step()):
        assert "memory" in reply
    ending = json.loads(reply["ending"])
    assert ending["status"] == "done"
    assert ending["memory"]["host"] is not None


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries do as they please")
def test_freed_memory_is_allocated_again_without_the_kernel_and_returned_when_a_trial_is_over():
    """In a process of its own, for it cannot be undone: allocations of 48 MB in blocks of 16, twenty times."""
    script = """
import resource
from flyp_sweep.orchestrator.engine.memory import keep_what_is_freed, return_what_is_freed, status

def work():
    blocks = [bytearray(16 * 2**20) for _ in range(3)]

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if {keeps}:
    keep_what_is_freed()
work()
before = faults()
for _ in range(20):
    work()
met = faults() - before
held = status()["VmRSS"]
return_what_is_freed()
print(met, held, status()["VmRSS"])
"""

    def run(keeps: bool) -> list[int]:
        told = subprocess.run(
            [sys.executable, "-c", script.format(keeps=keeps)], text=True, capture_output=True, check=True
        )
        return list(map(int, told.stdout.split()))

    usual, (met, held, returned) = run(False)[0], run(True)
    assert met < usual / 10
    assert held - returned > 40 * MB
