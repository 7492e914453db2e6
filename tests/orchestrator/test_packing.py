"""How many trials run at once where memory is what there is least of."""

from __future__ import annotations

import pytest
from sweeps import plans_of, space_of

from flyp_sweep.orchestrator.engine.memory import Memory
from flyp_sweep.orchestrator.engine.nodes import Node
from flyp_sweep.orchestrator.engine.packing import Packing
from flyp_sweep.search_spaces.model import Resources

GB = 10**9


def node(cpus: int = 8, gpus: int = 0, memory: int = 64) -> Node:
    return Node("id", "127.0.0.1", cpus, gpus, memory * GB)


def host(gb: float) -> Memory:
    return Memory(int(gb * GB))


def gpu(gb: float) -> Memory:
    return Memory(GB, int(gb * GB), 80 * GB)


@pytest.fixture
def trials():
    """Trials of FT, and one of FLYP."""
    ft, flyp = plans_of(space_of(methods=["ft", "flyp"]))
    specs = [ft.search_trial({"lr": 10.0**-n, "weight_decay": 0.0}, 0) for n in range(1, 20)]
    return [*specs, flyp.search_trial({"lr": 0.1, "weight_decay": 0.0}, 0)]


def test_trials_that_fit_get_the_cores_alone(trials):
    packing = Packing(Resources(cpu=2), [node()])
    packing.took(trials[0], host(1))
    assert packing.give(trials[1]) == {"CPU": 2, "GPU": 0}


def test_no_more_start_than_there_are_cores_for_until_one_has_told(trials):
    packing = Packing(Resources(cpu=2), [node(4), node(2)])
    assert [packing.give(trial) is not None for trial in trials[:4]] == [True, True, True, False]
    assert packing.give(trials[-1]) is not None, "another kind has room of its own"
    packing.ended(trials[0])  # without a word, as one that died
    assert packing.give(trials[3]) is not None
    assert packing.give(trials[4]) is None
    packing.took(trials[1], host(1))
    assert all(packing.give(trial) for trial in trials[4:12])


def test_where_memory_is_short_trials_are_given_theirs(trials):
    lines = []
    packing = Packing(Resources(cpu=1), [node(memory=64)], say=lines.append)
    packing.took(trials[0], host(20))
    given = packing.give(trials[1])
    assert 21 * GB <= given["memory"] <= 21 * GB * 1.125
    assert lines == ["a trial of ft with digits-clip takes 20.0 GB of memory: 2 at once"]
    packing.took(trials[1], host(19))
    assert packing.give(trials[2]) == given, "a worker goes on with what is given the same"
    assert "memory" not in packing.give(trials[-1])
    assert len(lines) == 1


def test_every_process_of_a_trial_takes_its_own(trials):
    packing = Packing(Resources(cpu=4, processes=4), [node(memory=64)])
    packing.took(trials[0], host(10))
    assert 42 * GB <= packing.give(trials[1])["memory"] <= 64 * GB


def test_a_trial_that_fits_nowhere_gets_the_largest_node(trials):
    packing = Packing(Resources(cpu=1), [node(memory=32), node(memory=64)])
    packing.took(trials[0], host(100))
    assert packing.give(trials[1])["memory"] == 64 * GB


@pytest.mark.parametrize(("gb", "share"), [(60, 1), (39, 1), (38, 2), (10, 4), (1, 16), (0.1, 16)])
def test_a_gpu_takes_as_many_as_fit(trials, gb, share):
    packing = Packing(Resources(cpu=16, gpu=1), [node(16, 1, 640)], sharing=True)
    assert packing.give(trials[0]) == {"CPU": 16, "GPU": 1}
    packing.took(trials[0], gpu(gb))
    assert packing.give(trials[1]) == {"CPU": 16 // share, "GPU": 1 / share}


def test_a_gpu_takes_no_more_than_there_are_cores_for(trials):
    packing = Packing(Resources(cpu=4, gpu=1), [node(16, 4, 640)], sharing=True)
    packing.took(trials[0], gpu(1))
    assert packing.give(trials[1]) == {"CPU": 1, "GPU": 1 / 4}


def test_what_trials_beside_others_say_of_their_gpu_does_not_count(trials):
    packing = Packing(Resources(cpu=16, gpu=1), [node(16, 1, 640)], sharing=True)
    packing.took(trials[0], gpu(10))
    given = packing.give(trials[1])
    packing.took(trials[1], gpu(40))
    assert packing.give(trials[2]) == given


def test_what_the_search_space_says_of_a_gpu_holds(trials):
    packing = Packing(Resources(cpu=16, gpu=1), [node(16, 1, 640)], sharing=False)
    packing.took(trials[0], gpu(1))
    assert packing.give(trials[1]) == {"CPU": 16, "GPU": 1}


def test_what_ran_short_of_a_gpu_has_it_alone(trials):
    packing = Packing(Resources(cpu=16, gpu=1), [node(16, 1, 640)], sharing=True)
    packing.took(trials[0], gpu(10))
    packing.ran_short(trials[1])
    assert packing.give(trials[1]) == {"CPU": 16, "GPU": 1}


def test_what_ran_short_before_it_could_tell_has_twice_the_room(trials):
    packing = Packing(Resources(cpu=1), [node(8, memory=64)])
    packing.ran_short(trials[0])
    assert packing.give(trials[0])["memory"] == pytest.approx(16 * GB, rel=0.125)
    packing.took(trials[0], host(1))
    assert "memory" not in packing.give(trials[1])


def test_what_ran_short_although_it_was_known_has_twice_the_room(trials):
    packing = Packing(Resources(cpu=1), [node(8, memory=64)])
    packing.took(trials[0], host(7))
    assert "memory" not in packing.give(trials[1])
    packing.ran_short(trials[1])
    assert packing.give(trials[1])["memory"] == pytest.approx(15.4 * GB, rel=0.125)
