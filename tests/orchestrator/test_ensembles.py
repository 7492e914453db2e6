"""Ensembles across trials: when they can start, what they are made of, what they need on the disk, and whole sweeps."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from commands import call, numbers, trials
from finished import Finished
from serial_engine import run_serially
from sweeps import answer, drive, plans_of, space_of

from flyp_sweep.orchestrator.protocol.algorithms import planned_trials
from flyp_sweep.orchestrator.protocol.outcome import Outcome
from flyp_sweep.orchestrator.protocol.protocol import Protocol
from flyp_sweep.orchestrator.runs import disk_usage
from flyp_sweep.orchestrator.runs.dry_run import describe
from flyp_sweep.orchestrator.runs.recorder import Recorder
from flyp_sweep.orchestrator.runs.under_way import UnderWay
from flyp_sweep.orchestrator.store.trial_files import TrialFiles
from flyp_sweep.results.ledger.file import Ledger
from flyp_sweep.search_spaces import yaml_text
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.loading import dump, from_mapping, load
from flyp_sweep.trainers.checkpoints.checkpoint import Policy
from flyp_sweep.trainers.checkpoints.kept_fits import KeptFits
from flyp_sweep.trainers.spec import TrialSpec

ALL = ["uniform_soup", "greedy_soup", "logit_ensemble"]

BUILT_IN = ["dawin_outputs", "greedy_soup", "greedy_soup_strict", "logit_ensemble", "model_stock", "uniform_soup"]

SPACE = """
name: ensembles
dataset: digits
shots: 4
model: {arch: digits-clip, pretrained: bundled}
methods: [zeroshot, ft]
train: {epochs: 2, batch_size: 20, warmup_steps: 0}
search:
  algorithm: random
  num_samples: 3
  space: {lr: {loguniform: [1.0e-4, 1.0e-2]}, weight_decay: 0.1}
repeats: {seeds: 2}
wise_ft: {alphas: 3}
ensembles: [uniform_soup, greedy_soup, logit_ensemble]
"""


def ensembles(**changes: Any) -> Any:
    search = {"algorithm": "random", "num_samples": 3, "seeds": 2, "space": {"lr": {"loguniform": [1e-4, 1e-2]}}}
    search["space"] |= {"weight_decay": 0.0, "l2": 1.0}
    return space_of(**{"methods": ["zeroshot", "lp", "ft", "flyp"], "search": search, "ensembles": ALL, **changes})


def of(specs: list[TrialSpec], method: str) -> list[TrialSpec]:
    return [spec for spec in specs if spec.cell.method == method]


def test_methods_trained_by_gradients_have_a_cell_per_ensemble_right_after_their_own():
    plans = plans_of(ensembles())
    methods = [plan.cell.method for plan in plans]
    assert methods == [
        "zeroshot",
        "lp",
        *(f"{base}{end}" for base in ("ft", "flyp") for end in ("", *(f"+{e}" for e in ALL))),
    ]
    named = plans_of(ensembles(ensembles={"greedy_soup": ["flyp"]}))
    assert [plan.cell.method for plan in named if plan.base] == ["flyp+greedy_soup"]
    again = from_mapping(yaml_text.read(dump(plans[0].space), "x"))
    assert again.cells() == [plan.cell for plan in plans], "the run folder's copy says so too"


def test_a_space_without_such_a_method_is_refused_and_so_is_one_that_names_another():
    with pytest.raises(
        InputError, match=r"^search space: ensembles: found \[uniform_soup.*; expected methods trained by"
    ):
        plans_of(ensembles(methods=["zeroshot", "lp"]))
    with pytest.raises(
        InputError, match=r"ensembles.greedy_soup: found 'lp'; expected a method trained by gradients: ft"
    ):
        plans_of(ensembles(ensembles={"greedy_soup": ["lp"]}))


def test_soups_start_after_the_search_and_logit_ensembles_after_the_repeats_they_are_made_of():
    protocol = Protocol(plans_of(ensembles()))
    ran = drive(protocol, at_once=3)
    assert protocol.complete
    places = {spec.trial_id: at for at, spec in enumerate(ran)}
    for spec in ran:
        assert all(places[member.trial_id] < places[spec.trial_id] for member in spec.members)
    for base in ("ft", "flyp"):
        for soup in ("uniform_soup", "greedy_soup"):
            made = of(ran, f"{base}+{soup}")
            assert [spec.seed for spec in made] == [0, 1], "one per search seed"
            assert {spec.stage for spec in made} == {"repeat"}
            assert len({spec.config_id for spec in made}) == 1
            searched = [spec for spec in of(ran, base) if spec.stage == "search"]
            for spec in made:
                own = {one.trial_id for one in searched if one.seed == spec.seed}
                assert {member.trial_id for member in spec.members} == own
                rates = [one["lr"] for one in spec.ingredients]
                assert rates == sorted(rates, reverse=True), "the best first: `answer` rises with the learning rate"
        logits = of(ran, f"{base}+logit_ensemble")
        repeats = [spec.trial_id for spec in of(ran, base) if spec.stage == "repeat"]
        assert [member.trial_id for spec in logits for member in spec.members] == repeats
    assert len(ran) == sum(planned_trials(cell.plan) for cell in protocol.cells), "a configuration is asked once"


def test_trials_that_failed_or_were_stopped_are_in_no_soup():
    def one_of_each(spec: TrialSpec) -> Outcome:
        place = sorted(lrs).index(spec.hparams.get("lr")) if spec.stage == "search" and spec.cell.method == "ft" else -1
        if place == 0:
            return Outcome(spec.trial_id, "failed", None, None)
        return dataclasses.replace(answer(spec), status="stopped" if place == 1 and spec.seed == 1 else "done")

    plans = plans_of(ensembles(methods=["ft"]))
    lrs = {spec.hparams["lr"] for spec in drive(Protocol(plans)) if spec.stage == "search"}
    protocol = Protocol(plans)
    ran = drive(protocol, one_of_each)
    assert [len(spec.members) for spec in of(ran, "ft+uniform_soup")] == [2, 1]
    assert protocol.complete


def test_a_search_of_failures_leaves_nothing_to_be_made():
    protocol = Protocol(plans_of(ensembles(methods=["ft"])))
    ran = drive(protocol, lambda spec: Outcome(spec.trial_id, "failed", None, None))
    assert {spec.cell.method for spec in ran} == {"ft"}
    assert protocol.complete
    assert protocol.selections == []


@pytest.mark.parametrize("stop", range(0, 26, 5))
def test_a_sweep_cut_anywhere_and_resumed_makes_the_same_ensembles(stop):
    plans = plans_of(ensembles())
    whole = {spec.trial_id for spec in drive(Protocol(plans))}
    before = drive(Protocol(plans), at_once=2, stop_after=stop)
    after = drive(Protocol(plans, [answer(spec) for spec in before]))
    assert {spec.trial_id for spec in before}.isdisjoint(spec.trial_id for spec in after)
    assert {spec.trial_id for spec in [*before, *after]} == whole


def test_ensembles_added_to_a_finished_sweep_are_all_that_runs():
    first = drive(Protocol(plans_of(ensembles(ensembles=None))))
    added = drive(Protocol(plans_of(ensembles()), [answer(spec) for spec in first]))
    assert {spec.cell.method for spec in added} == {f"{base}+{name}" for base in ("ft", "flyp") for name in ALL}


def test_weights_are_awaited_until_the_last_ensemble_made_of_them_has_an_outcome():
    protocol = Protocol(plans_of(ensembles(methods=["ft"])))
    seen = []
    while (spec := protocol.next()) is not None:
        assert {member.trial_id for member in spec.members} <= protocol.awaited
        protocol.finish(answer(spec))
        seen.append(spec)
        left = [one for cell in protocol.cells for one in cell.trials if one.trial_id not in protocol.outcomes]
        needed = {member.trial_id for one in left if isinstance(one, TrialSpec) for member in one.members}
        assert needed <= protocol.awaited
        searching = protocol.cells[0].selection is None
        assert searching or not {one.trial_id for one in seen if one.stage == "search"} & protocol.awaited - needed
    assert protocol.awaited == set()


@pytest.mark.parametrize(("keep", "left"), [("none", 0), ("best", 3), ("all", 3 + 2 + 2)])
def test_the_driver_removes_weights_that_neither_an_ensemble_nor_the_user_asks_for(tmp_path, keep, left):
    """Of `ft`, its 3 repeats, and 2 soups of 2 seeds each; a logit ensemble has the weights of its member."""
    space = ensembles(methods=["ft"], weights={"keep": keep})
    plans = plans_of(space)
    protocol, kept = Protocol(plans), KeptFits(plans[0].space, Policy(tmp_path), ALL[:2])
    weights = TrialFiles(tmp_path / "weights")
    weights.folder.mkdir()
    under_way = UnderWay(protocol, tmp_path / "running")
    running = TrialFiles(tmp_path / "running")
    recorder = Recorder(Ledger(tmp_path / "ledger.jsonl"), protocol, running, weights, under_way=under_way)
    most = 0
    while (spec := protocol.next()) is not None:
        if kept.wanted(spec):
            (weights.folder / f"{spec.trial_id}.safetensors").touch()
        told = dict.fromkeys(("metric", "best_epoch", "epochs", "alpha")) | {
            "curve": [],
            "evaluations": [],
            "notes": [],
        }
        result = told | {"score": answer(spec).score, "loss": answer(spec).loss}
        recorder.ended(spec, {"status": "done", "seconds": 0.0, "result": result})
        there = {path.stem for path in weights.folder.iterdir()}
        assert there == protocol.kept & protocol.outcomes.keys()
        most = max(most, len(there))
    assert protocol.complete
    assert most >= 6, "the members of both soups of a seed"
    assert (len(there), there) == (left, protocol.kept)
    best = max(protocol.cells[0].selection.repeats, key=lambda spec: answer(spec).score)
    assert (best.trial_id in there) == (keep != "none")


def test_the_disk_is_told_of_the_weights_and_a_disk_without_room_for_them_is_refused(tmp_path, monkeypatch):
    space = ensembles()
    plans = plans_of(space)
    needed = disk_usage.estimate(space, plans)
    parameters = plans[0].model.parameters
    assert needed.members == 4 * parameters * 2 * (3 * 2 + 3), "two methods, of each the search and the repeats"
    assert needed.weights == 4 * parameters * 2 * (1 + 2), "of two methods, the best repeat and two best soups"
    assert "until the ensembles are made" in str(needed)
    alone = ensembles(ensembles=None, weights={"keep": "none"})
    assert "weights" not in str(disk_usage.estimate(alone, plans_of(alone)))
    over = {plan.cell for plan in plans if plan.cell.method.startswith("ft")}
    assert disk_usage.estimate(space, plans, over).members == needed.members // 2
    free = needed.members + needed.weights
    full = shutil._ntuple_diskusage(10**12, 10**12 - free, free)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(InputError, match="of free space; the run takes about"):
        disk_usage.check(needed, tmp_path)
    disk_usage.check(dataclasses.replace(needed, in_store=True), tmp_path)


def test_a_dry_run_names_them_and_counts_their_trials():
    space = ensembles(methods=["ft"])
    lines = describe(space, plans_of(space)).splitlines()
    assert [line.partition(", ")[0].strip() for line in lines[2:5]] == [
        "digits/digits-clip/full/ft+uniform_soup: 2 soups of 3 configurations of ft",
        "digits/digits-clip/full/ft+greedy_soup: 2 soups of 3 configurations of ft",
        "digits/digits-clip/full/ft+logit_ensemble: 3 ensembles of a repeat of ft",
    ]
    assert lines[5].startswith(f"{6 + 3 + 2 + 2 + 3} trials")


def test_a_misspelt_ensemble_is_one_line_and_the_list_names_them_all(tmp_path):
    for wrong in (SPACE.replace("greedy_soup", "greedy_soap"), SPACE.replace("[uniform_soup,", "[greedy_soap,")):
        (tmp_path / "x.yaml").write_text(wrong)
        line = next(at for at, text in enumerate(wrong.splitlines(), start=1) if text.startswith("ensembles:"))
        code, output = call("run", "x.yaml", "--dry-run", cwd=tmp_path)
        assert code == 2
        known = ", ".join(BUILT_IN)
        assert output == (
            f"error: x.yaml:{line}: ensembles: found 'greedy_soap'; expected one of {known}, or 'module:Class' "
            "(did you mean 'greedy_soup'?)\n"
        )
    listed = call("list", "ensembles", cwd=tmp_path)[1].splitlines()
    assert [line.split()[0] for line in listed] == BUILT_IN


def kept_in(run: Path) -> set[str]:
    """The trials whose fits a run folder holds."""
    return {path.stem for path in (run / "weights").iterdir()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The space above, run to its end."""
    folder = tmp_path_factory.mktemp("ensembles")
    (folder / "ensembles.yaml").write_text(SPACE)
    code, output = run_serially("ensembles.yaml", cwd=folder)
    assert code == 0, output
    return Finished("ensembles", folder, output)


@pytest.mark.slow
def test_a_sweep_ends_with_a_row_for_each_and_the_weights_of_the_best_alone(finished):
    folder = finished.run
    rows = [line for line in finished.output.splitlines() if line.startswith("FT")]
    assert [row.partition("  ")[0] for row in rows[:4]] == [
        "FT",
        "FT uniform soup",
        "FT greedy soup",
        "FT logit ensemble",
    ]
    assert [row.split()[-1] for row in rows[:4]] == ["2", "1", "1", "2"], "a soup per search seed"
    records = trials(folder)
    best = {}
    for record in sorted(records, key=lambda one: (one["score"], -one["loss"])):
        if record["stage"] == "repeat" and "+logit" not in record["cell"]["method"]:
            best[record["cell"]["method"]] = record["trial_id"]
    assert kept_in(folder) == set(best.values())
    assert not any(record["notes"] for record in records), "all were made of weights that were kept"
    searched = {
        (record["seed"], json.dumps(record["hparams"])): record for record in records if record["stage"] == "search"
    }
    for record in records:
        if record["cell"]["method"] == "ft+greedy_soup":
            own = [searched[record["seed"], json.dumps(one)]["score"] for one in record["settings"]["ingredients"]]
            assert record["score"] >= max(own)
            assert record["curve"][0]["accuracy"] == own[0] == max(own)
    assert load(folder / "space.yaml").ensembles == dict.fromkeys(ALL, ("ft",))
    status = call("status", folder, cwd=folder)[1]
    assert sum("ft+" in line and " done " in line for line in status.splitlines()) == 3


@pytest.mark.slow
def test_a_sweep_stopped_amid_its_search_whose_weights_are_then_lost_ends_with_the_same_numbers(finished, tmp_path):
    folder = tmp_path / "runs/ensembles"
    code, output = run_serially(finished.space, cwd=tmp_path, stop_after=3)
    assert code == 130, output
    assert list((folder / "weights").glob("*.safetensors"))
    shutil.rmtree(folder / "weights")
    code, output = run_serially(finished.space, cwd=tmp_path)
    assert code == 0, output
    assert numbers(folder) == numbers(finished.run)
    notes = [note for record in trials(folder) for note in record["notes"]]
    assert all("were missing: these trials were trained again" in note for note in notes)
    assert notes
    lost = {record["trial_id"] for record in trials(folder) if record["cell"]["method"] == "zeroshot"}
    assert kept_in(folder) == kept_in(finished.run) - lost
    assert TrialFiles(folder / "weights").clear() is None
