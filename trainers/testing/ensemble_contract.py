"""The promises of every ensemble as tests to inherit. The built-in ensembles pass the same tests.

    class TestMyEnsemble(EnsembleContract):
        @pytest.fixture
        def ensemble(self) -> Ensemble:
            return MyEnsemble()

For assertion details in failures, call
`pytest.register_assert_rewrite("flyp_sweep.trainers.testing.ensemble_contract")` in a conftest. This module needs
pytest.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from flyp_sweep.search_spaces.loading import from_mapping
from flyp_sweep.trainers import ensembles, methods, trial
from flyp_sweep.trainers.checkpoints.checkpoint import Policy
from flyp_sweep.trainers.checkpoints.kept_fits import KeptFits
from flyp_sweep.trainers.ensembles.alpha_curve import AlphaCurve
from flyp_sweep.trainers.ensembles.base import Ensemble, Members, Mixture, Soup
from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.spec import Epoch, Evaluation, TrialResult, TrialSpec
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.testing.bench import REPORTED, Bench, Tiny, finish, global_streams, shipped
from flyp_sweep.trainers.testing.trials import plain
from flyp_sweep.trainers.training.fitted import Fitted

ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)
SEARCHED = tuple({"lr": lr, "weight_decay": 0.1} for lr in (1e-3, 3e-4, 3e-3))
"""The configurations that soups combine, best first."""


class EnsembleContract:
    """Inherit it and define the fixture `ensemble`.

    The ensembles combine trials of `ft` on `Tiny`'s three classes with the shipped model, 3 images of each class.
    """

    @pytest.fixture
    def ensemble(self) -> Ensemble:
        """The ensemble under test."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `ensemble` that returns the one to test")

    @pytest.fixture
    def made(self, ensemble: Ensemble) -> Iterator[Made]:
        """The ensemble's trials, on one thread."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield Made(ensemble, Bench(shipped()))
        torch.set_num_threads(threads)

    # Its declarations

    def test_it_says_what_it_is_and_what_it_is_made_of(self, ensemble: Ensemble) -> None:
        assert ensemble.name.isidentifier(), "a name is a key of the YAML and a part of a column of the results"
        assert ensemble.summary
        assert "\n" not in ensemble.summary
        assert ensemble.label.isprintable()
        assert ensemble.label.strip("_ ") == ensemble.label != "", "a label is a line of text"
        assert isinstance(ensemble, Soup | Mixture), "made of the trials of a search, or of a repeat"

    # A trial is a function of its specification

    def test_a_trial_is_the_same_in_any_worker_whatever_global_streams_hold(self, made: Made) -> None:
        worker = made.bench.worker()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            first = made.run()
            torch.manual_seed(2)
            made.bench.fit(made.bench.spec("ft", epochs=1, shots=3, seed=2), worker)
            before = global_streams()
            assert made.run(worker) == first, "losses of every epoch are in it, to the last bit"
            assert global_streams() == before, "an ensemble draws from `task.stream` or a seeded stream"
        assert json.loads(json.dumps(first.to_json(), allow_nan=False)) == first.to_json()

    # Its members

    def test_it_asks_for_members_in_their_order_once_each_and_reports(self, made: Made) -> None:
        recording = Recording.of(made)
        reports, fitted = collected(made.ensemble.combine(recording))
        order = [recording.specs.index(member) for member in recording.asked]
        assert order == sorted(set(order)) != [], "members come best first; what they are is in this order alone"
        assert reports, "the last report of a trial is that of its model"
        assert (reports[-1].score, reports[-1].loss) == (fitted.report.score, fitted.report.loss)

    def test_kept_weights_and_members_trained_again_give_the_same_bits_and_a_note(
        self, made: Made, tmp_path: Path
    ) -> None:
        kept = made.keeping(tmp_path)
        asked = made.run(kept=kept).notes
        (told,) = asked
        assert told.startswith("the weights of ")
        assert told.endswith(" were missing: these trials were trained again")
        for member in made.spec.members:
            made.bench_run(member, kept)
        for file in tmp_path.iterdir():  # the ensemble's own fits, so that it is combined again
            if file.stem == made.spec.trial_id:
                file.unlink()
        from_kept, again = made.run(kept=kept), made.run()
        assert from_kept.notes == []
        assert again.notes == asked
        assert replace(again, notes=[]) == from_kept

    def test_a_kept_fit_comes_back_bit_for_bit(self, made: Made, tmp_path: Path) -> None:
        kept = made.keeping(tmp_path)
        for member in made.spec.members:
            made.bench_run(member, kept)
        first, again = (finish(made.curve(kept=kept)).fitted for _ in range(2))
        is_soup = isinstance(made.ensemble, Soup)
        assert kept.wanted(made.spec) == kept.policy.path(made.spec.trial_id).exists() == is_soup
        assert (again.report, again.scores) == (first.report, first.scores)
        assert made.bench.same(again.state, first.state)

    def test_models_of_other_shapes_are_refused_in_a_line(self, made: Made) -> None:
        if isinstance(made.ensemble, Mixture):
            pytest.skip("it has one member")
        with pytest.raises(TrialFailed, match="differ in shape") as refused:
            collected(made.ensemble.combine(Recording.of(made, reshaped=True)))
        assert "\n" not in str(refused.value)

    # What it makes

    def test_its_model_is_one_of_its_method_and_scores_what_it_reports(self, made: Made) -> None:
        curve = finish(made.curve())
        fitted, zero_shot = curve.fitted, curve.zero_shot
        assert {name: (one.shape, one.dtype) for name, one in fitted.state.items()} == {
            name: (one.shape, one.dtype) for name, one in zero_shot.items()
        }
        curve.model.load_state_dict(fitted.state)
        scores = curve.method.scores(curve.model, curve.task, curve.task.id_val)
        assert scores == fitted.scores
        assert (fitted.report.score, fitted.report.loss) == (scores.score, scores.loss)

    def test_at_alpha_0_it_is_the_zero_shot_model_and_at_alpha_1_its_own(self, made: Made) -> None:
        worker = made.bench.worker()
        result = made.run(worker)
        zero_shot = made.bench.run(made.bench.repeat("zeroshot", alphas=(0.0,), shots=3), worker)
        assert reported(result, 0.0) == reported(zero_shot, 0.0)
        assert made.bench.primary(result, 1.0)["id_val"] == result.score
        assert result.alpha in ALPHAS
        if isinstance(made.ensemble, Mixture):
            (member,) = made.spec.members
            alone = made.bench.run(member, worker)
            assert reported(result, 1.0) == reported(alone, 1.0)

    def test_a_mixture_of_an_image_depends_on_no_other_image(self, made: Made) -> None:
        if not isinstance(made.ensemble, Mixture):
            pytest.skip("its outputs are those of one model")
        draw = torch.Generator().manual_seed(0)
        zero_shot, finetuned = (10 * torch.randn(7, 3, generator=draw) for _ in range(2))
        before = zero_shot.clone(), finetuned.clone()
        for alpha in (0.25, 0.9):
            whole = made.ensemble.mixed(zero_shot, finetuned, alpha)
            assert (whole.shape, whole.dtype) == (zero_shot.shape, zero_shot.dtype)
            assert bool(whole.isfinite().all())
            one = made.ensemble.mixed(zero_shot[4:5], finetuned[4:5], alpha)
            torch.testing.assert_close(one, whole[4:5], rtol=1e-6, atol=1e-6)
        assert torch.equal(before[0], zero_shot)
        assert torch.equal(before[1], finetuned), "what it is given belongs to others"

    # What it must leave alone

    def test_it_leaves_the_shared_model_as_it_was(self, made: Made) -> None:
        worker = made.bench.worker()
        clip = worker.pretrained.clip
        before = {name: value.clone() for name, value in clip.state_dict().items()}
        made.run(worker)
        assert made.bench.same(clip.state_dict(), before)
        assert not any(module.training for module in clip.modules())

    def test_test_labels_change_no_choice_and_no_weight_and_are_opened_last(self, made: Made) -> None:
        data = Tiny(), Tiny(poisoned=REPORTED)
        honest, fooled = (made.run(made.bench.worker(one)) for one in data)
        for field in ("score", "loss", "metric", "best_epoch", "epochs", "alpha", "curve"):
            assert getattr(honest, field) == getattr(fooled, field), field
        chosen_on = [[line for line in one.evaluations if line.role == "id_val"] for one in (honest, fooled)]
        assert chosen_on[0] == chosen_on[1]
        assert made.bench.primary(honest, 1.0) != made.bench.primary(fooled, 1.0)
        for one in data:
            assert one.opened[-3:] == list(REPORTED)
            assert set(one.opened[:-3]) <= {"train", "id_val"}
        closed = made.bench.worker(Tiny(closed=REPORTED))
        finish(made.curve(closed)).on_id_val(ALPHAS)  # all choices are made before a test split is opened


class Made:
    """Trials that form one ensemble: three search trials of `ft`, or a repeat."""

    def __init__(self, ensemble: Ensemble, bench: Bench) -> None:
        self.ensemble, self.bench, self.method = ensemble, bench, methods.get("ft")
        of = {"hparams": {}, "ingredients": SEARCHED} if isinstance(ensemble, Soup) else {"hparams": SEARCHED[0]}
        small = {"alphas": ALPHAS, "frontier": True, "shots": 3, "epochs": 1}
        self.spec: TrialSpec = bench.repeat(f"ft+{ensemble.name}", **small, **of)

    def task(self, worker: Any = None, kept: KeptFits | None = None) -> Task:
        return replace(self.bench.task(self.spec, worker), kept=kept)

    def run(self, worker: Any = None, kept: KeptFits | None = None) -> TrialResult:
        return finish(trial.run(self.method, self.task(worker, kept), self.ensemble))

    def curve(self, worker: Any = None, kept: KeptFits | None = None) -> Generator[Epoch, None, AlphaCurve]:
        return ensembles.curve(self.ensemble, self.method, self.task(worker, kept))

    def bench_run(self, member: TrialSpec, kept: KeptFits) -> TrialResult:
        """Run a member, which keeps its fit."""
        return finish(trial.run(self.method, replace(self.bench.task(member), kept=kept)))

    def keeping(self, folder: Path) -> KeptFits:
        """A run that keeps fits in `folder`: of members, and of ensembles whose models differ from them."""
        model = {"arch": "digits-clip", "pretrained": "bundled"}
        search = {"num_samples": 3, "space": {"lr": 1e-3, "weight_decay": 0.1}}
        given = {"name": "kept", "dataset": "digits", "model": model, "methods": ["ft"], "search": search}
        space = from_mapping({**given, "ensembles": {self.ensemble.name: ["ft"]}})
        return KeptFits(space, Policy(folder), [self.ensemble.name] if isinstance(self.ensemble, Soup) else [])


class Recording(Members):
    """Members that record the requests for them; if `reshaped`, the second one has other shapes."""

    asked: list[TrialSpec]
    reshaped: bool

    @classmethod
    def of(cls, made: Made, reshaped: bool = False) -> Recording:
        task = made.task()
        best = replace(task, spec=replace(task.spec, hparams=task.spec.members[0].hparams))
        members = cls(made.method, best, made.method.zero_shot(best))
        members.asked, members.reshaped = [], reshaped
        return members

    def fit(self, member: TrialSpec) -> Generator[Epoch, None, Fitted]:
        self.asked.append(member)
        fitted = yield from super().fit(member)
        if self.reshaped and len(self.asked) == 2:
            return replace(fitted, state={name: torch.zeros(*one.shape, 2) for name, one in fitted.state.items()})
        return fitted


def reported(result: TrialResult, alpha: float) -> list[Evaluation]:
    """The reported evaluations at `alpha`, without `id_val`: in few-shot cells soups draw other id_val images than
    repeats."""
    return [plain(line) for line in result.evaluations if line.alpha == alpha and line.role != "id_val"]


def collected(running: Generator[Epoch, None, Any]) -> tuple[list[Epoch], Any]:
    """The reports of a generator, and its return value."""
    reports = []
    while True:
        try:
            reports.append(next(running))
        except StopIteration as end:
            return reports, end.value
