"""Kept fits: what is in their files, and that a trial whose fit is kept trains nothing. Every method's own fit is in
the methods' contract suite."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from spaces import space_with

from flyp_sweep.trainers import ensembles, methods, trial
from flyp_sweep.trainers.checkpoints.checkpoint import Policy
from flyp_sweep.trainers.checkpoints.kept_fits import KeptFits
from flyp_sweep.trainers.spec import TrialResult, TrialSpec
from flyp_sweep.trainers.testing.bench import Bench
from flyp_sweep.trainers.training.kept import same


def kept(path: Path, keep: str = "best", **changes: Any) -> KeptFits:
    space = space_with(weights={"keep": keep}, **changes)
    return KeptFits(space, Policy(path), ensembles.soups(space))


def run(bench: Bench, spec: TrialSpec, fits: KeptFits) -> tuple[list[int], TrialResult]:
    """The epochs that a trial reports, and its result."""
    running = trial.run(methods.get(spec.cell.method), replace(bench.task(spec), kept=fits))
    epochs = []
    while True:
        try:
            epochs.append(next(running).epoch)
        except StopIteration as end:
            return epochs, end.value


@pytest.mark.parametrize("name", ["ft", "flyp_lora", "coop", "lp", "zeroshot"])
def test_a_repeat_whose_fit_is_kept_trains_nothing_and_gives_the_same_result(
    bench: Bench, tmp_path: Path, name: str
) -> None:
    spec = bench.repeat(name, shots=2)
    epochs, result = run(bench, spec, kept(tmp_path))
    assert epochs
    assert run(bench, spec, kept(tmp_path)) == ([], result)


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("zeroshot", set[str]()),
        ("lp", {"weight", "bias"}),
        ("coop", {"context"}),
        ("tip_adapter", {"weight"}),
    ],
)
def test_a_file_holds_only_what_differs_from_the_pretrained_model(
    bench: Bench, tmp_path: Path, name: str, names: set[str]
) -> None:
    spec = bench.repeat(name)
    run(bench, spec, kept(tmp_path))
    assert tensors(tmp_path, spec).keys() == names


def test_low_rank_updates_are_kept_as_their_factors(bench: Bench, tmp_path: Path) -> None:
    lora, flyp = bench.repeat("flyp_lora"), bench.repeat("flyp")
    for spec in (lora, flyp):
        run(bench, spec, kept(tmp_path))
    found = tensors(tmp_path, lora)
    assert {name.rpartition(".")[2] for name in found} <= {"up", "down", "logit_scale"}
    assert size(tmp_path, lora) < size(tmp_path, flyp) / 2


@pytest.mark.parametrize(
    ("keep", "changes", "wanted"),
    [
        ("none", {}, set[str]()),
        ("best", {}, {"repeat", "soup"}),
        ("all", {}, {"repeat", "soup"}),
        ("none", {"ensembles": {"greedy_soup": ["ft"]}}, {"search"}),
        ("none", {"ensembles": {"logit_ensemble": ["ft"]}}, {"repeat"}),
        ("best", {"ensembles": {"greedy_soup": ["ft"]}}, {"search", "repeat", "soup"}),
    ],
)
def test_fits_are_kept_of_the_trials_that_somebody_may_ask_for(
    bench: Bench, tmp_path: Path, keep: str, changes: dict[str, Any], wanted: set[str]
) -> None:
    fits = kept(tmp_path, keep, **{"methods": ["ft", "flyp"], **changes})
    soup = bench.repeat("ft+greedy_soup", hparams={}, ingredients=({"lr": 1e-3, "weight_decay": 0.1},))
    logits = bench.repeat("ft+logit_ensemble")
    trials = {"search": bench.spec(), "repeat": bench.repeat(), "soup": soup, "logits": logits}
    assert {name for name, spec in trials.items() if fits.wanted(spec)} == wanted


@pytest.mark.parametrize("damage", ["torn", "of another form", "of other pretrained weights", "of no fit"])
def test_a_file_that_cannot_be_used_costs_a_training_and_is_noted(bench: Bench, tmp_path: Path, damage: str) -> None:
    spec, other = bench.repeat(), bench.repeat("flyp")
    fits = kept(tmp_path)
    epochs, result = run(bench, spec, fits)
    file = fits.policy.path(spec.trial_id)
    if damage == "torn":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "of another form":
        run(bench, other, fits)
        file.write_bytes(fits.policy.path(other.trial_id).read_bytes())
    else:
        saved, _ = fits.read(spec)
        assert saved is not None
        facts = {} if damage == "of no fit" else {**saved.facts, "unchanged": "another hash"}
        fits.write(spec, replace(saved, facts=facts))
    again, other_result = run(bench, spec, fits)
    assert (again, replace(other_result, notes=[])) == (epochs, result)
    (note,) = other_result.notes
    assert note.startswith("no kept weights are used: ")
    assert run(bench, spec, fits) == ([], result), "the note is of that one run"


def test_bits_are_compared_not_values() -> None:
    zero = torch.tensor(0.0)
    assert same(zero, torch.tensor(0.0))
    assert not same(zero, torch.tensor(-0.0))
    assert not same(zero, torch.tensor([0.0]))
    assert not same(zero, torch.tensor(0))
    assert same(torch.ones(2, 3).T, torch.ones(3, 2))


def tensors(folder: Path, spec: TrialSpec) -> dict[str, torch.Tensor]:
    with safe_open(folder / f"{spec.trial_id}.safetensors", "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def size(folder: Path, spec: TrialSpec) -> int:
    return (folder / f"{spec.trial_id}.safetensors").stat().st_size
