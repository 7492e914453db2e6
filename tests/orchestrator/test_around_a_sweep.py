"""Smaller things around a sweep, each of which once went wrong."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from commands import COMMAND, QUICK
from ledgers import Example, record_of
from rich.console import Console
from serial_engine import SerialEngine, run_serially
from sweeps import answer, drive, plans_of, space_of

from flyp_sweep.orchestrator.cli.run_address import RunAddress, UserPath
from flyp_sweep.orchestrator.engine.work import Work
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.results.ledger.run_folder import RunFolder
from flyp_sweep.results.ledger.schema import TrialRecord
from flyp_sweep.results.run_status import is_of, read_status
from flyp_sweep.results.status_view import text_of
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.loading import dump, load

FIXED = {"algorithm": "random", "num_samples": 4, "space": {"lr": 1e-3, "weight_decay": 0.1}}


def test_a_tilde_in_out_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert RunAddress().convert("~/x", None, None) == Path("/home/me/x")
    assert RunAddress().convert("s3://bucket/~x", None, None) == "s3://bucket/~x"
    assert UserPath().convert("~/x", None, None) == Path("/home/me/x")


@pytest.mark.parametrize("search", [FIXED, {"algorithm": "none", "space": FIXED["space"]}], ids=["constants", "none"])
def test_fixed_hyper_parameters_go_straight_to_the_repeats(search: dict[str, object]) -> None:
    ran = drive(Protocol(plans_of(space_of(methods=["zeroshot", "ft"], search=search))), answer)
    assert [(spec.cell.method, spec.stage) for spec in ran] == [("zeroshot", "repeat")] + [("ft", "repeat")] * 3
    assert ran[-1].hparams == {"lr": 1e-3, "weight_decay": 0.1}


def test_without_a_search_there_is_no_range_and_no_soup() -> None:
    assert space_of(methods=["zeroshot"], search="none").search.algorithm == "none"
    for change, told in [
        ({"search": {"algorithm": "none", "space": {"lr": {"choice": [0.1, 0.2]}}}}, "one value with algorithm none"),
        ({"search": {"algorithm": "none", "num_samples": 3}}, "nothing with algorithm none"),
    ]:
        with pytest.raises(InputError, match=told):
            space_of(**{"methods": ["ft"], **change})
    with pytest.raises(InputError, match="ensembles: found 'greedy_soup'; expected ensembles that need no search"):
        plans_of(
            space_of(methods=["ft"], search={"algorithm": "none", "space": FIXED["space"]}, ensembles=["greedy_soup"])
        )
    with pytest.raises(InputError, match=r"search\.space\.C: found nothing; expected one value"):
        plans_of(space_of(methods=["lp"], search="none"))


def test_soups_of_fixed_hyper_parameters_still_have_a_trial_to_be_made_of() -> None:
    ran = drive(Protocol(plans_of(space_of(methods=["ft"], search=FIXED, ensembles=["uniform_soup"]))), answer)
    assert [spec.stage for spec in ran if spec.cell.method == "ft"].count("search") == 1
    assert any(spec.ingredients for spec in ran)


def test_methods_that_come_back_keep_their_hyper_parameters(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    text = QUICK.replace("space: {l2: {loguniform: [1.0e-3, 1.0e-1]}}}", "per_method: {lp: {l2: 0.5}}}")
    path.write_text(text)
    space = load(path, ["methods=[zeroshot]", "methods=[zeroshot, lp]"])
    assert space.search.per_method.keys() == {"lp"}
    assert not load(path, ["methods=[zeroshot, lp]", "methods=[zeroshot]"]).search.per_method
    with pytest.raises(InputError, match="per_method"):
        load(path, ["methods=[zeroshot]", "search.per_method.lp.l2=0.1"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("base: &b {epochs: 1}\ntrain: {<<: *b}\n", "line 2, column 9: found a merge key '<<', which is not followed"),
        ("train:\n  epochs: 1\n   batch_size: 2\n", "not valid YAML"),
        ("train:\n   epochs: 1\n  batch_size: 2\n", "found another indentation; expected that of the mapping"),
    ],
)
def test_yaml_that_is_not_followed_is_refused_by_name(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(InputError) as no:
        load(tmp_path / "x.yaml")
    assert told in str(no.value)


@pytest.mark.parametrize(
    "change", [{"num_samples": 10**9}, {"num_samples": 100_000, "seeds": 1_000}, {"num_samples": 1, "seeds": 10**9}]
)
def test_a_search_that_could_not_even_be_planned_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(InputError, match=r"search\.(num_samples|seeds): found .*expected"):
        space_of(search={"space": {"lr": {"loguniform": [1e-4, 1e-2]}, "weight_decay": 0.0}, **change})


class Failing(SerialEngine):
    """An engine that ends with an error after so many trials."""

    def run(self, work: Work) -> None:
        super().run(work)
        raise InputError("Ray cannot go on (a test)")


def test_a_sweep_that_is_interrupted_before_its_first_trial_prints_no_empty_table(tmp_path: Path) -> None:
    (tmp_path / "quick.yaml").write_text(QUICK)
    code, told = run_serially("quick.yaml", cwd=tmp_path, stop_after=0)
    assert (code, told.splitlines()[-1]) == (130, "nothing is lost; go on with: flyp-sweep run")
    assert "written:" not in told
    assert "unfinished" not in told


def test_an_engine_that_fails_costs_no_table_and_without_a_new_trial_its_line_stands_alone(tmp_path: Path) -> None:
    (tmp_path / "quick.yaml").write_text(QUICK.replace("[zeroshot, lp]", "[lp]"))
    code, told = run_serially("quick.yaml", cwd=tmp_path, engine=Failing(stop_after=1))
    assert (code, (tmp_path / "runs" / "quick" / "report.html").is_file()) == (2, True)
    assert told.splitlines()[-2:] == ["error: Ray cannot go on (a test)", "nothing is lost; go on with: flyp-sweep run"]
    code, told = run_serially("quick.yaml", cwd=tmp_path, engine=Failing(stop_after=0))
    assert (code, told.splitlines()[-1]) == (2, "error: Ray cannot go on (a test)")
    assert "written:" not in told


def status(folder: RunFolder) -> str:
    printed = io.StringIO()
    Console(file=printed, width=200).print(*text_of(read_status(folder)), sep="\n")
    return printed.getvalue()


def test_status_counts_a_trial_by_the_views_that_it_was_trained_on() -> None:
    kinds = ("none", "flip", "clip", "randaugment")
    spaces = {kind: space_of(methods=["ft"], train={"epochs": 2, "augmentation": kind}) for kind in kinds}
    for kind, space in spaces.items():
        (spec, *_) = drive(Protocol(plans_of(space)))
        told = json.loads(json.dumps(spec.to_json()))
        trial = record_of(Example().trial(Example().cell("ft"), stage="search", settings=told, hparams=spec.hparams))
        assert isinstance(trial, TrialRecord)
        assert [other for other in kinds if is_of(spaces[other], trial)] == [kind]
        before = {name: value for name, value in told.items() if name != "randaugment"}
        assert is_of(space, msgspec.structs.replace(trial, settings=before)) == (kind != "randaugment"), (
            "a line of a version that had none"
        )


def test_status_leaves_out_trials_of_an_earlier_space_and_says_what_failed(tmp_path: Path) -> None:
    search = {"num_samples": 2, "space": {"lr": {"loguniform": [1e-5, 1e-2]}, "weight_decay": 0.1}}
    search["first"] = [{"lr": 1}]
    train = {"epochs": 2, "grad_clip": 1.0, "layer_decay": 0.5, "label_smoothing": 0.1}
    space = space_of(methods=["lp", "ft", "lpft"], search=search, ensembles={"greedy_soup": ["lpft"]}, train=train)
    folder, example = RunFolder.create(tmp_path / "run", dump(space)), Example()
    train = {**space.train.model_dump(mode="json"), "patience": 5}
    unread = {"grad_clip": None, "layer_decay": 1.0, "label_smoothing": 0.0}
    cell, lost = example.cell("ft"), example.cell("lpft")
    searched = {"stage": "search", "settings": train}
    for record in [
        example.trial(cell, 0, "search", settings=train),
        example.trial(cell, 0, "search", settings=train, hparams={"lr": 1.0, "weight_decay": 0.1}, config_id="first"),
        example.trial(example.cell("lp"), 0, "search", settings={**train, **unread}, hparams={"C": 1.0}),
        example.trial(cell, 0, "search", settings={**train, "epochs": 99}, config_id="c1"),
        example.trial(cell, 0, "search", settings={**train, "epoch_metric": "loss"}, config_id="c3"),
        example.trial(cell, 0, "search", settings=train, hparams={"lr": 5.0, "weight_decay": 0.1}, config_id="c2"),
        *({**example.failure(lost, 0), **searched, "trial_id": f"{at:016x}", "config_id": f"{at}"} for at in range(2)),
    ]:
        folder.ledger.append(record_of(record))
    told = status(folder)
    rows = {line.split()[0]: line.split()[1:] for line in told.splitlines()}
    assert rows["lp"][:2] == ["search", "1"], "no gradient of it could be clipped"
    assert rows["ft"][:2] == ["search", "2"]
    assert rows["lpft"][:4] == ["failed", "0", "0", "2"]
    assert rows["lpft+greedy_soup"][0] == "failed"
    assert "not counted: 3 trials of an earlier version of the search space" in told


def test_a_lost_terminal_ends_a_sweep_as_ctrl_c_does(tmp_path: Path) -> None:
    code = (
        "import os, signal, time; from flyp_sweep.orchestrator.engine.signals import interruptible\n"
        "with interruptible('go on') as asked, asked.noting(lambda: print('heard', flush=True)):\n"
        "    print('ready', flush=True)\n"
        "    while not asked.asked: time.sleep(0.01)\n"
        "    time.sleep(0.5)\n"
        "print('tables', flush=True)"
    )
    for disposition, told in [("SIG_DFL", "heard\ntables\n"), ("SIG_IGN", "")]:
        before = f"import signal; signal.signal(signal.SIGHUP, signal.{disposition}); "
        process = subprocess.Popen([sys.executable, "-c", before + code], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGHUP)
        if told:
            assert process.communicate(timeout=20)[0] == told
        else:  # of nohup
            time.sleep(0.3)
            assert process.poll() is None
            process.kill()
            process.communicate()


def test_ctrl_c_amid_the_imports_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt\n")
    done = subprocess.run(
        [*COMMAND, "--help"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")
