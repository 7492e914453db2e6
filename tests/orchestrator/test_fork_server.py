"""Fork servers with real clients; they import nothing here, but for the one that runs a trial."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time

import psutil
import pytest
from forking import asker, client, echo, killer, other_process, pid_in, until
from processes import forks, trial_processes, wait_until_gone
from stuck import BUSY, worker
from sweeps import plans_of, space_of

from flyp_sweep.orchestrator.engine.fork_server import REST
from flyp_sweep.orchestrator.engine.forked import Forked, Lease
from flyp_sweep.orchestrator.engine.team import Team
from flyp_sweep.orchestrator.engine.trial_process import Settings
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.trainers.training.checkpoints import Policy

counter = itertools.count()


@pytest.fixture
def name() -> str:
    """Of a server that no other test has."""
    return f"{os.getpid()}-{next(counter)}"


@pytest.fixture(autouse=True)
def gone():
    """Whatever a test leaves open, nothing stays behind."""
    yield
    wait_until_gone(os.getpid())


def started(lease: Lease) -> tuple[Forked, dict]:
    process = lease.fork(echo)
    return process, process.pipe.recv()


def echoes(process: Forked) -> bool:
    process.pipe.send("word")
    return process.pipe.recv() == "word"


def lives(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def test_clients_share_a_server_which_ends_soon_after_the_last_lease(name):
    leases = [Lease(name, ()), Lease(name, ())]
    (one, of_one), (two, of_two) = map(started, leases)
    server = of_one["parent"]
    assert of_two["parent"] == server
    assert {process.pid for process in forks(os.getpid())} == {server, one.pid, two.pid}
    assert {process.pid for process in trial_processes(os.getpid())} == {one.pid, two.pid}
    one.end()
    leases[0].close()
    time.sleep(1.5)
    assert echoes(two)
    assert lives(server)
    two.end()
    leases[1].close()
    began = time.monotonic()
    wait_until_gone(os.getpid())
    assert time.monotonic() - began < 2
    started(Lease(name, ()))[0].end()  # the name is free again


def test_sweeps_do_not_share(name):
    (one, of_one), (two, of_two) = started(Lease(name, ())), started(Lease(f"{name}-other", ()))
    assert of_one["parent"] != of_two["parent"]
    one.end()
    two.end()


def test_a_process_takes_the_place_of_its_client(name, tmp_path, monkeypatch, capfd):
    lease = Lease(name, ())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")  # as Ray tells each worker, after the server was started
    monkeypatch.delenv("HOME", raising=False)
    process = lease.fork(echo, "a", 1)
    told = process.pipe.recv()
    assert told["words"] == ("a", 1)
    assert told["folder"] == str(tmp_path)
    assert told["environment"] == dict(os.environ)
    assert os.getpgid(process.pid) == os.getpgrp()
    process.end()
    failing = lease.fork(os.kill)  # is not given a pid
    failing.join()
    assert failing.exit_code == 1
    assert "TypeError" in capfd.readouterr().err


def test_how_a_process_ended_is_told(name):
    lease = Lease(name, ())
    for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM):
        process, _ = started(lease)
        os.kill(process.pid, number)
        process.join()
        assert process.exit_code == -number
        process.signal(signal.SIGKILL)  # comes too late, and does nothing to the next one
        process.end()
    process, _ = started(lease)
    process.join(0.2)
    assert process.exit_code is None
    assert echoes(process)
    process.signal(signal.SIGTERM)
    process.join()
    assert process.exit_code == -signal.SIGTERM
    process, _ = started(lease)
    process.pipe.close()
    process.join()
    assert process.exit_code == 0


def test_a_killed_server_harms_no_process_and_is_replaced(name):
    lease, other = Lease(name, ()), Lease(name, ())
    process, told = started(lease)
    os.kill(told["parent"], signal.SIGKILL)
    until(lambda: not lives(told["parent"]))
    assert echoes(process)
    process.join()
    assert process.exit_code is None
    assert echoes(process)
    (second, of_second), (third, of_third) = started(other), started(Lease(name, ()))
    assert of_second["parent"] == of_third["parent"] != told["parent"]
    process.end()
    until(lambda: not lives(process.pid))
    again, of_again = started(lease)
    assert of_again["parent"] == of_second["parent"]
    for one in (second, third, again):
        one.end()


def test_signals_to_the_group_of_the_worker_do_not_end_the_server(name):
    process, told = started(Lease(name, ()))
    server = psutil.Process(told["parent"])
    for number in (signal.SIGTERM, signal.SIGINT):
        server.send_signal(number)
    assert os.getpgid(server.pid) == server.pid
    assert echoes(process)
    process.signal(signal.SIGINT)  # Ctrl-C is the driver's affair
    assert echoes(process)
    process.end()


def test_a_server_that_cannot_import_is_an_error_of_one_line(name, capfd):
    with pytest.raises(OSError, match="the log of the worker says why") as caught:
        Lease(name, ["no_such_module"]).fork(echo)
    assert "\n" not in str(caught.value)
    assert "No module named 'no_such_module'" in capfd.readouterr().err


def test_what_a_server_is_started_with_is_there_for_its_imports(name, tmp_path, monkeypatch, capfd):
    (tmp_path / "probe.py").write_text(
        "import os, pathlib, sys\n"
        "pathlib.Path(__file__).with_name('told').write_text(os.environ['OMP_NUM_THREADS'] + os.environ['OWN'])\n"
        "print('imported', file=sys.stderr)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("OWN", "mine")
    variables = {"OMP_NUM_THREADS": "3", "OWN": "given"}
    for quiet in (True, False):
        process, told = started(lease := Lease(f"{name}-{quiet}", ["probe"], variables, quiet=quiet))
        assert (tmp_path / "told").read_text() == "3mine"
        assert "OMP_NUM_THREADS" not in told["environment"], "that of the client, who has none"
        assert ("imported" in capfd.readouterr().err) == (not quiet)
        process.end()
        lease.close()


def test_a_process_that_is_wanted_at_once_comes_before_the_rest_of_the_imports_and_any_other_after_them(
    name, tmp_path, monkeypatch
):
    (tmp_path / "imported_first.py").write_text("")
    (tmp_path / "imported_later.py").write_text("import time\ntime.sleep(1)\n")
    (tmp_path / "imported_last.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    modules = ("imported_first", REST, "imported_later", "imported_last")
    with contextlib.closing(Lease(name, modules)) as lease:
        for fork, imported in ((lease.fork_at_once, {"imported_first"}), (lease.fork, {*modules} - {REST})):
            process = fork(echo)
            assert set(process.pipe.recv()["modules"]) & {*modules} == imported
            process.end()


def test_a_server_imports_the_rest_while_nobody_asks_for_anything(name, tmp_path, monkeypatch):
    (tmp_path / "imported_alone.py").write_text(f"open({str(tmp_path / 'reached')!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with contextlib.closing(Lease(name, (REST, "imported_alone"))):
        until((tmp_path / "reached").exists)


def test_clients_that_race_get_one_server_which_outlives_the_one_that_started_it(name):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(other_process(client, name)) for _ in range(4)]
        for _, pipe in clients:
            assert pipe.recv() == "ready"
        for _, pipe in clients:
            pipe.send("go")
        told = [pipe.recv() for _, pipe in clients]
        (server,) = {one["parent"] for _, one in told}
        for index, (process, _) in enumerate(clients[:-1]):
            process.kill()
            until(lambda pid=told[index][0]: not lives(pid))
        time.sleep(1)
        assert lives(server)
        assert lives(told[-1][0])
        clients[-1][0].kill()
        until(lambda: not lives(server))


@pytest.fixture
def stuck(name, tmp_path, monkeypatch):
    """Settings and a trial that never gets through its first epoch, and the file that then holds its pid."""
    busy = tmp_path / "busy"
    monkeypatch.setenv(BUSY, str(busy))
    space = space_of(methods=["stuck:Stuck"])
    spec = Protocol(plans_of(space)).next()
    mapping = space.model_dump(mode="json", exclude_none=True)
    return Settings(mapping, "absent", Policy(tmp_path / "running"), 1, "cpu", None, name), spec, busy


def test_a_trial_ends_with_its_worker_in_the_middle_of_a_step_and_its_end_is_told(stuck):
    settings, spec, busy = stuck
    own = Team(settings)  # keeps the server, and what it has imported, for the second half
    with other_process(worker, settings, spec) as (process, _):
        pid = pid_in(busy)
        assert lives(pid)
        process.kill()
        until(lambda: not lives(pid))
    busy.unlink()
    with other_process(killer, busy):
        own.begin(spec)
        reply = own.step()
    assert "the trial's process was ended by SIGKILL (often the kernel's, for want of memory)" in reply["ending"]
    own.close()


def test_a_server_that_nobody_wants_any_more_does_not_import_to_the_end(name, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "imported_slowly.py").write_text("import time\ntime.sleep(2)\n")
    (tmp_path / "imported_last.py").write_text(f"open({str(tmp_path / 'reached')!r}, 'w')\n")
    with other_process(asker, name, ("imported_slowly", "imported_last")) as (process, pipe):
        pipe.recv()
        time.sleep(0.5)
        process.kill()  # while it waits for what it has asked for
    wait_until_gone(os.getpid())
    assert not (tmp_path / "reached").exists()
    Lease(name, ("imported_slowly", "imported_last")).close()
    wait_until_gone(os.getpid())
    assert not (tmp_path / "reached").exists()
    with contextlib.closing(Lease(name, ("imported_slowly", "imported_last"))) as lease:
        process, _ = started(lease)
        process.end()
    assert (tmp_path / "reached").exists()
