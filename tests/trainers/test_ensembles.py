"""What each built-in ensemble makes of its members; what all of them promise is in their contract suite."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from ranks import in_ranks
from sklearn.metrics import accuracy_score
from spaces import space_with

from flyp_sweep.trainers import ensembles, methods, trial
from flyp_sweep.trainers.checkpoints.checkpoint import Policy
from flyp_sweep.trainers.checkpoints.kept_fits import KeptFits
from flyp_sweep.trainers.ensembles.alpha_curve import choose_alpha
from flyp_sweep.trainers.ensembles.base import Members
from flyp_sweep.trainers.ensembles.dawin_outputs import DawinOutputs
from flyp_sweep.trainers.ensembles.model_stock import ModelStock, share
from flyp_sweep.trainers.ensembles.uniform_soup import UniformSoup
from flyp_sweep.trainers.evaluation.metrics import Scores, score
from flyp_sweep.trainers.spec import TrialResult, TrialSpec
from flyp_sweep.trainers.testing.bench import Bench, finish

if TYPE_CHECKING:
    from pathlib import Path

    from flyp_sweep.trainers.distributed import Ranks
    from flyp_sweep.trainers.training.fitted import Fitted

pytestmark = pytest.mark.slow

INGREDIENTS = tuple({"lr": lr, "weight_decay": 0.1} for lr in (1e-3, 3e-4, 3e-3))
ALL = {"uniform_soup": ["ft", "flyp"], "greedy_soup": ["ft", "flyp"], "logit_ensemble": ["ft", "flyp"]}


def soup(bench: Bench, cell: str, ingredients: Any = INGREDIENTS, **changes: Any) -> TrialSpec:
    return bench.repeat(cell, hparams={}, ingredients=ingredients, **changes)


def kept(path: Path, **changes: Any) -> KeptFits:
    search = {"num_samples": 3, "space": {"lr": 1e-3, "weight_decay": 0.0}}
    alone = {"weights": {"keep": "none"}}
    space = space_with(**{"methods": ["ft", "flyp"], "search": search, "ensembles": ALL, **alone, **changes})
    return KeptFits(space, Policy(path), ensembles.soups(space))


def made(bench: Bench, spec: TrialSpec, weights: KeptFits | None = None, **dataset: Any) -> TrialResult:
    task = replace(bench.task(spec, bench.worker(bench.dataset(**dataset))), kept=weights)
    return finish(trial.run(methods.get(spec.cell.base.method), task))


def members(bench: Bench, spec: TrialSpec, path: Path) -> KeptFits:
    """The members of an ensemble, run and kept."""
    weights = kept(path)
    for member in spec.members:
        made(bench, member, weights)
    return weights


def test_members_are_the_trials_of_the_search_and_a_soup_draws_what_they_drew(bench: Bench) -> None:
    for shots in (None, 2):
        spec = soup(bench, "ft+greedy_soup", shots=shots, seed=3)
        searched = [bench.spec("ft", hparams=dict(one), shots=shots, seed=3) for one in INGREDIENTS]
        assert [member.trial_id for member in spec.members] == [one.trial_id for one in searched]
        task, theirs = bench.task(spec), bench.task(searched[0])
        assert (task.id_val.labels == theirs.id_val.labels).all()
        if shots:
            assert list(task.id_val.images.indices) == list(theirs.id_val.images.indices)
            assert list(task.id_val.images.indices) != list(
                bench.task(bench.repeat("ft", shots=2)).id_val.images.indices
            )
    repeat = bench.repeat("flyp", seed=1)
    (member,) = replace(repeat, cell=repeat.cell.ensembled("logit_ensemble")).members
    assert member.trial_id == repeat.trial_id
    assert repeat.members == ()


@pytest.mark.parametrize("name", ["ft", "flyp"])
def test_a_uniform_soup_is_the_mean_of_its_members_weights(bench: Bench, name: str) -> None:
    spec = soup(bench, f"{name}+uniform_soup")
    task, method = bench.task(spec), methods.get(name)
    fitted = finish(UniformSoup().combine(Members(method, task, method.zero_shot(bench.task(spec.members[0])))))
    states = [bench.fit(member).state for member in spec.members]
    for key, value in fitted.state.items():
        torch.testing.assert_close(value, torch.stack([state[key] for state in states]).mean(0), rtol=1e-5, atol=1e-6)


def by_hand(bench: Bench, spec: TrialSpec, states: list[dict[str, torch.Tensor]]) -> tuple[list[bool], Scores]:
    """Recipe 1 of the paper, written out: which members are taken, and the scores of the soup."""
    task, method = bench.task(spec.members[0]), methods.get(spec.cell.base.method)
    taken: list[dict[str, torch.Tensor]] = []
    choices, best = [], None
    for state in states:
        tried = [*taken, state]
        model = method.zero_shot(task)
        model.load_state_dict({name: torch.stack([one[name] for one in tried]).mean(0) for name in tried[0]})
        scores = method.scores(model, task, task.id_val)
        choices.append(best is None or scores.score >= best.score)
        if choices[-1]:
            taken, best = tried, scores
    assert best is not None
    return choices, best


@pytest.mark.parametrize("name", ["ft", "flyp"])
@pytest.mark.parametrize("seed", range(4))
def test_a_greedy_soup_is_never_below_its_best_member_and_takes_what_does_not_lower_it(
    bench: Bench, name: str, seed: int
) -> None:
    rates = torch.empty(4).uniform_(-4, -1.7, generator=torch.Generator().manual_seed(seed))  # the largest ruin a model
    found = [{"lr": float(10**rate), "weight_decay": 0.1} for rate in rates]
    worker = bench.worker()
    singles = {one["lr"]: bench.fit(bench.spec(name, hparams=one, shots=3, seed=seed), worker) for one in found}
    ranked = sorted(found, key=lambda one: singles[one["lr"]].scores.rank, reverse=True)
    spec = soup(bench, f"{name}+greedy_soup", tuple(ranked), shots=3, seed=seed)
    result = made(bench, spec)
    assert result.score >= max(single.scores.score for single in singles.values())
    choices, best = by_hand(bench, spec, [singles[one["lr"]].state for one in ranked])
    assert [point["taken"] == 1 for point in result.curve] == choices
    assert result.score == best.score
    assert result.curve[0]["accuracy"] == singles[ranked[0]["lr"]].scores.score, "the best member is in it"
    assert result.best_epoch == max(at for at, taken in enumerate(choices, start=1) if taken)


@pytest.mark.parametrize(("ensemble", "taken"), [("greedy_soup", [1.0, 1.0]), ("greedy_soup_strict", [1.0, 0.0])])
def test_a_member_that_leaves_the_score_as_it_was_is_a_tie(bench: Bench, ensemble: str, taken: list[float]) -> None:
    result = made(bench, soup(bench, f"ft+{ensemble}", (INGREDIENTS[0], INGREDIENTS[0]), shots=3))
    assert [point["taken"] for point in result.curve] == taken


def test_a_file_that_is_garbled_or_of_another_shape_or_gone_is_made_again(bench: Bench, tmp_path: Path) -> None:
    spec = soup(bench, "ft+uniform_soup")
    weights = members(bench, spec, tmp_path)
    result = made(bench, spec, weights)
    first, second, third = (tmp_path / f"{member.trial_id}.safetensors" for member in spec.members)
    whole = first.read_bytes()
    first.write_bytes(whole[:1000])
    second.unlink()
    weights.policy.checkpoint(spec.members[2].trial_id).save(_saved({"w": torch.zeros(3)}))
    again = made(bench, spec, weights)
    assert again.notes[0].startswith("the weights of 3 of 3 trials")
    assert replace(again, notes=[]) == result
    assert made(bench, spec, weights) == result, "what was trained again is kept for others"
    assert second.is_file()
    assert third.is_file()


def _saved(tensors: dict[str, torch.Tensor]) -> Any:
    from flyp_sweep.trainers.checkpoints.checkpoint import Saved

    return Saved(tensors, {})


def test_only_what_ensembles_ask_for_is_kept_and_a_disk_that_refuses_costs_a_note_alone(
    bench: Bench, tmp_path: Path
) -> None:
    none, soups = kept(tmp_path, ensembles=None), kept(tmp_path, ensembles={"greedy_soup": ["ft"]})
    for weights, spec in ((none, bench.spec()), (soups, bench.repeat("ft")), (soups, bench.spec("flyp"))):
        made(bench, spec, weights)
        assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    refused = made(bench, bench.spec(), kept(tmp_path / "file" / "weights"))
    assert len(refused.notes) == 1
    assert refused.notes[0].startswith("its weights are not kept: ")
    assert replace(refused, notes=[]) == bench.run(bench.spec())


def test_several_processes_make_one_ensemble_and_train_a_member_where_any_lacks_it(
    bench: Bench, tmp_path: Path
) -> None:
    spec = soup(bench, "flyp+greedy_soup", INGREDIENTS[:2])
    weights = members(bench, spec, tmp_path)

    def run(ranks: Ranks) -> TrialResult:
        own = weights if ranks.rank == 0 else kept(tmp_path / "empty")
        task = replace(bench.task(spec), ranks=ranks, kept=own)
        return finish(trial.run(methods.get("flyp"), task))

    first, second = in_ranks(2, run)
    assert first == second, first
    assert first.notes[0].startswith("the weights of 2 of 2 trials")
    assert not (tmp_path / "empty").exists(), "one process writes for all"

    def run_kept(ranks: Ranks) -> TrialResult:
        task = replace(bench.task(spec), ranks=ranks, kept=weights)
        return finish(trial.run(methods.get("flyp"), task))

    both = in_ranks(2, run_kept)
    assert both[0] == both[1] == made(bench, spec, weights)


@pytest.mark.parametrize("name", ["ft", "flyp"])
def test_a_logit_ensemble_mixes_logits_and_reports_what_they_score(bench: Bench, name: str) -> None:
    alphas = (0.0, 0.25, 0.5, 1.0)
    base = bench.repeat(name, alphas=alphas, frontier=True, shots=2)
    spec = replace(base, cell=base.cell.ensembled("logit_ensemble"))
    result, single = made(bench, spec), bench.run(base)
    task, method = bench.task(base), methods.get(name)
    model = method.zero_shot(task)
    model.load_state_dict(bench.fit(base).state)
    on_id_val = {}
    for split in (task.id_val, *task.reported()):
        tuned = method.logits(model, task, split)
        zero_shot = task.shared.features(split) @ task.zero_shot_head.T
        for alpha in alphas:
            mixed = score(alpha * tuned + (1 - alpha) * zero_shot, split)
            found = bench.primary(result, alpha)[split.name]
            assert found == pytest.approx(
                accuracy_score(split.labels, (alpha * tuned + (1 - alpha) * zero_shot).argmax(1))
            )
            if split is task.id_val:
                on_id_val[alpha] = mixed
    assert result.alpha == choose_alpha(on_id_val)
    for end in (0.0, 1.0):
        assert bench.primary(result, end) == bench.primary(single, end)


def stocked(bench: Bench, ingredients: Any) -> tuple[Fitted, list[dict[str, torch.Tensor]]]:
    """A model stock of `ft`, then the pretrained weights, then those of its members."""
    spec = soup(bench, "ft+model_stock", ingredients, epochs=8)
    task, method = bench.task(replace(spec, hparams=ingredients[0])), methods.get("ft")
    fitted = finish(ModelStock().combine(Members(method, task, method.zero_shot(task))))
    return fitted, [method.zero_shot(task).state_dict(), *(bench.fit(member).state for member in spec.members)]


def test_a_model_stock_is_the_papers_of_the_two_best_tensor_by_tensor(bench: Bench) -> None:
    fitted, (pretrained, first, second, _) = stocked(bench, INGREDIENTS)
    shares = []
    for name, value in fitted.state.items():
        one, other = ((state[name] - pretrained[name]).double().flatten().numpy() for state in (first, second))
        angle = np.arccos(one @ other / np.sqrt((one @ one) * (other @ other)))
        shares.append(max(2 * np.cos(angle) / (1 + np.cos(angle)), 0))
        wanted = shares[-1] * (first[name] + second[name]) / 2 + (1 - shares[-1]) * pretrained[name]
        torch.testing.assert_close(value, wanted.float(), rtol=1e-4, atol=1e-5)
    assert max(shares) - min(shares) > 0.1, "every tensor has a share of its own"
    alone, (_, only) = stocked(bench, INGREDIENTS[:1])
    assert bench.same(alone.state, only)
    assert alone.report.notes[-1] == "its search has only one trial: the result is that trial"


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        *[((1, 0), (1, 0), 1.0), ((1, 0), (2, 0), 1.0), ((1, 0), (1, 3**0.5), 2 / 3), ((1, 0), (0, 1), 0.0)],
        *[((1, 0), (-1, 1), 0.0), ((0, 0), (1, 0), 0.0), ((0, 0), (0, 0), 0.0)],
    ],
)
def test_the_share_of_a_model_stock_falls_with_the_angle(first: Any, second: Any, expected: float) -> None:
    start = torch.tensor([3.0, -2.0])
    found = share(start, *(start + torch.tensor(one, dtype=torch.float32) for one in (first, second)))
    assert found == pytest.approx(expected, abs=1e-6)


def test_dawin_outputs_trust_the_surer_model_image_by_image() -> None:
    draw = np.random.default_rng(0)
    logits = {name: draw.normal(size=(6, 4)) * 3 for name in ("zero_shot", "finetuned")}
    p = {name: np.exp(one) / np.exp(one).sum(1, keepdims=True) for name, one in logits.items()}
    sure = {name: np.exp((one * np.log(one)).sum(1, keepdims=True)) for name, one in p.items()}  # exp(-entropy)
    for alpha in (0.5, 0.2):
        own, other = alpha * sure["finetuned"], (1 - alpha) * sure["zero_shot"]
        wanted = (own * p["finetuned"] + other * p["zero_shot"]) / (own + other)
        found = DawinOutputs().mixed(*(torch.from_numpy(logits[name]) for name in logits), alpha)
        np.testing.assert_allclose(found.exp().numpy(), wanted, rtol=1e-6)
    sharp, flat = torch.tensor([[1000.0, 0.0, 0.0]]), torch.zeros(1, 3)
    assert bool(DawinOutputs().mixed(sharp, flat, 0.5).isfinite().all())
