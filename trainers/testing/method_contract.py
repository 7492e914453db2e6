"""The promises of every method as tests to inherit. The built-in methods pass the same tests.

    class TestMyMethod(MethodContract):
        @pytest.fixture
        def method(self) -> Method:
            return MyMethod()

A fixture `hparams` sets values for hyper-parameters; a fixture `pretrained` replaces the bundled model. For assertion
details in failures, call `pytest.register_assert_rewrite("flyp_sweep.trainers.testing.method_contract")` in a
conftest. This module needs pytest.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from flyp_sweep.search_spaces.distributions import Distribution
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.model import Model
from flyp_sweep.search_spaces.roles import ROLES
from flyp_sweep.trainers.checkpoints.checkpoint import Checkpoint, Policy
from flyp_sweep.trainers.ensembles.alpha_curve import AlphaCurve, zero_shot_logits
from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.evaluation.metrics import METRICS
from flyp_sweep.trainers.evaluation.retrieval import NEAREST
from flyp_sweep.trainers.exporting.folder import Export, drafted
from flyp_sweep.trainers.methods.base import GradientMethod, Method
from flyp_sweep.trainers.models.pretrained import Pretrained
from flyp_sweep.trainers.testing.bench import (
    NEW_CLASSES,
    REPORTED,
    Bench,
    Tiny,
    finish,
    global_streams,
    hyper_parameters,
    shipped,
)
from flyp_sweep.trainers.testing.trials import Trials, gradient, keeping, plain, shared_tensors
from flyp_sweep.trainers.training.fit import fit, found

MICRO_BATCH = 3
LEARNED = 5
"""Epochs within which a method must make progress."""
ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)
WAYS = ("image_to_text", "text_to_image")
RETRIEVAL = {f"{way}_r{k}" for way in WAYS for k in NEAREST}


class MethodContract:
    """Inherit it and define the fixture `method`.

    The trials use `Tiny`'s three classes with the shipped model: 24 images, 3 steps an epoch.
    """

    @pytest.fixture
    def method(self) -> Method:
        """The method under test."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `method` that returns the method to test")

    @pytest.fixture
    def pretrained(self) -> Pretrained:
        """The model of the trials; override it if the bundled one is unsuitable."""
        return shipped()

    @pytest.fixture
    def hparams(self) -> Mapping[str, Any]:
        """Values of hyper-parameters; override it if the bench's values are unsuitable."""
        return {}

    @pytest.fixture
    def is_portable(self) -> bool:
        """Whether its models can be exported for open_clip: False if `portable` raises `NotPortable`."""
        return True

    @pytest.fixture
    def trials(self, method: Method, pretrained: Pretrained, hparams: Mapping[str, Any]) -> Iterator[Trials]:
        """The method's trials, on one thread."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield Trials(method, Bench(pretrained), {**hyper_parameters(method), **hparams})
        torch.set_num_threads(threads)

    # Its declarations

    def test_it_says_what_it_is_and_what_it_searches(self, method: Method) -> None:
        assert method.name.isidentifier(), "a name is a key of the YAML and a column of the results"
        assert method.summary
        assert "\n" not in method.summary
        assert method.label.isprintable()
        assert method.label.strip("_ ") == method.label != "", "a label is a line of text"
        assert all(isinstance(one, Distribution | None) for one in method.hparams.values())
        known = method.hparams.keys() | method.in_place_of.keys()
        assert method.domains.keys() <= known, "a domain is one of a hyper-parameter"
        if isinstance(method, GradientMethod):
            assert {"lr", "weight_decay"} <= method.hparams.keys(), "the training loop reads these"

    # It trains

    def test_training_lowers_the_loss(self, trials: Trials) -> None:
        if not isinstance(trials.method, GradientMethod):
            pytest.skip(f"{trials.method.name} is not trained by gradients")
        # With labels that the pretrained model considers wrong, there is something to learn.
        wrong = trials.bench.worker(Tiny(poisoned=("train", "id_val")))
        curve = trials.fit(trials.spec(epochs=LEARNED), wrong).report.curve
        assert curve[-1]["train_loss"] < curve[0]["train_loss"]

    def test_its_best_epoch_is_that_of_the_rule_and_its_weights_are_kept(self, trials: Trials) -> None:
        spec = trials.spec(epochs=3)
        task = trials.bench.task(spec)
        fitted = trials.fit(spec, task.shared)
        report = fitted.report
        best = max(report.curve, key=lambda one: (one["accuracy"], -one["loss"], -one["epoch"]))
        assert (report.best_epoch, report.score, report.loss) == (best["epoch"], best["accuracy"], best["loss"])
        assert [one["epoch"] for one in report.curve] == list(range(1, report.epoch + 1))
        assert all(METRICS.keys() <= one.keys() for one in report.curve)
        model = trials.method.zero_shot(task)
        model.load_state_dict(fitted.state)
        again = trials.method.logits(model, task, task.id_val).argmax(1).numpy() == task.id_val.labels
        assert again.mean() == pytest.approx(report.score, abs=1e-12)

    def test_it_stops_when_nothing_gets_better(self, trials: Trials) -> None:
        if not isinstance(trials.method, GradientMethod):
            pytest.skip(f"{trials.method.name} has no epochs")
        still = trials.spec(epochs=9, patience=2, hparams={**trials.hparams, "lr": 0.0})
        report = trials.fit(still).report
        assert report.epoch == report.best_epoch + 2 < 9

    # A trial is a function of its specification

    def test_a_trial_is_the_same_in_any_worker_whatever_global_streams_hold(self, trials: Trials) -> None:
        spec = trials.repeat(shots=4, seed=1)
        warm = trials.bench.worker()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            first = trials.run(spec)
            torch.manual_seed(2)
            trials.fit(trials.spec(epochs=1, shots=3, seed=2, templates=1), warm)
            before = global_streams()
            assert trials.run(spec, warm) == first, "losses of every epoch are in it, to the last bit"
            assert global_streams() == before, "a trial draws from `batch.rng`, `task.stream` or a seeded stream"

    def test_a_deterministic_method_gives_the_same_on_every_seed(self, trials: Trials) -> None:
        if not trials.method.deterministic:
            pytest.skip(f"{trials.method.name} does not say that it is deterministic")
        assert trials.run(trials.repeat(seed=0)) == trials.run(trials.repeat(seed=1)), "the whole training split"

    def test_taken_up_from_a_checkpoint_it_ends_as_if_undisturbed(self, trials: Trials, tmp_path: Path) -> None:
        spec = trials.spec(epochs=3, shots=4)
        policy = Policy(tmp_path, every_seconds=0)
        cut_short = fit(trials.method, trials.bench.task(spec, checkpoint=Checkpoint(policy, spec.trial_id)))
        for _ in islice(cut_short, 1):
            pass
        checkpoint = Checkpoint(policy, spec.trial_id)
        resumed, undisturbed = trials.fit(spec, checkpoint=checkpoint), trials.fit(spec)
        assert checkpoint.trouble is None
        assert (resumed.report, resumed.scores) == (undisturbed.report, undisturbed.scores)
        assert trials.bench.same(resumed.state, undisturbed.state)

    def test_a_kept_fit_comes_back_bit_for_bit(self, trials: Trials, tmp_path: Path) -> None:
        task = replace(trials.bench.task(trials.repeat(shots=3)), kept=keeping(Policy(tmp_path)))
        assert found(trials.method, task) == (None, None)
        fitted, (again, _) = finish(fit(trials.method, task)), found(trials.method, task)
        assert again is not None
        assert (again.report, again.scores) == (fitted.report, fitted.scores)
        assert trials.bench.same(again.state, fitted.state)

    # Micro-batches

    def test_micro_batches_give_the_whole_batch_s_gradient_or_are_refused(self, trials: Trials) -> None:
        if not isinstance(trials.method, GradientMethod):
            pytest.skip(f"{trials.method.name} takes no batches")
        if not trials.method.divisible:
            with pytest.raises(TrialFailed, match=r"expected nothing, for .* defines the loss of whole batches"):
                trials.fit(trials.spec(micro_batch=MICRO_BATCH))
            return
        worker = trials.bench.worker()
        whole, divided = (gradient(trials, worker, size) for size in (None, MICRO_BATCH))
        assert float((divided - whole).norm()) <= 1e-3 * float(whole.norm()) + 1e-7

    def test_label_smoothing_changes_its_loss_if_it_says_so_and_else_nothing(self, trials: Trials) -> None:
        if not isinstance(trials.method, GradientMethod):
            pytest.skip(f"{trials.method.name} takes no batches")
        plain, smoothed = (trials.fit(trials.spec(epochs=1, **some)).report for some in ({}, {"label_smoothing": 0.2}))
        assert (plain != smoothed) == trials.method.smooths_labels

    def test_captions_change_its_loss_if_it_says_so_and_are_retrieved_if_it_says_so(self, trials: Trials) -> None:
        spec = trials.repeat(epochs=1, alphas=(0.0, 1.0), frontier=True)
        with_captions, without = (trials.run(spec, trials.bench.worker(Tiny(captioned=one))) for one in (True, False))
        reads = isinstance(trials.method, GradientMethod) and trials.method.reads_captions
        assert (with_captions.curve != without.curve) == reads
        for line in with_captions.evaluations:
            found = {name: one for name, one in line.metrics.items() if name in RETRIEVAL}
            retrieved = trials.method.retrieves and line.role != "id_val"
            assert found.keys() == (RETRIEVAL if retrieved else set())
            assert all(found[f"{way}_r1"] <= found[f"{way}_r5"] <= found[f"{way}_r10"] for way in WAYS if found)
        assert not any(RETRIEVAL & line.metrics.keys() for line in without.evaluations)

    def test_layer_decay_tells_its_layers_apart_if_it_says_so(self, trials: Trials) -> None:
        if not isinstance(trials.method, GradientMethod):
            pytest.skip(f"{trials.method.name} takes no steps")
        task = trials.bench.task(trials.spec(layer_decay=0.5))
        groups = trials.method.parameter_groups(trials.method.start(task), task)
        assert (len({one.lr for one in groups}) > 1) == trials.method.decays_layers

    # WiSE-FT

    def test_its_two_ends_have_the_same_names_shapes_and_types(self, trials: Trials) -> None:
        spec = trials.spec(shots=2)
        zero_shot = trials.method.zero_shot(trials.bench.task(spec)).state_dict()
        fitted = trials.fit(spec).state
        assert {name: (one.shape, one.dtype) for name, one in zero_shot.items()} == {
            name: (one.shape, one.dtype) for name, one in fitted.items()
        }

    def test_its_zero_shot_model_predicts_as_the_pretrained_one_and_is_a_fresh_one(self, trials: Trials) -> None:
        task = trials.bench.task(trials.repeat())
        first = trials.method.zero_shot(task)
        for split in (task.id_val, *task.reported()):
            logits = trials.method.logits(first, task, split)
            assert not logits.requires_grad
            expected = task.shared.features(split) @ task.zero_shot_head.T
            torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-3)
        before = {name: value.clone() for name, value in first.state_dict().items()}
        with torch.no_grad():
            for parameter in first.parameters():
                parameter.fill_(7.0)
        assert trials.bench.same(trials.method.zero_shot(task).state_dict(), before)

    def test_between_its_ends_weights_are_mixed(self, trials: Trials) -> None:
        spec = trials.repeat(frontier=True, shots=3)
        task = trials.bench.task(spec)
        fitted = trials.fit(spec, task.shared)
        curve = AlphaCurve(trials.method, task, fitted)
        test = task.shared.split("id_test")
        list(curve.on([test], [1.0]))
        assert trials.bench.same(curve.model.state_dict(), fitted.state)
        list(curve.on([test], [0.5]))
        for name, value in curve.model.state_dict().items():
            if value.is_floating_point():
                mean = (curve.zero_shot[name].double() + fitted.state[name].double()) / 2
                torch.testing.assert_close(value.double(), mean, rtol=1e-5, atol=1e-7)

    def test_a_repeat_reports_the_zero_shot_model_at_alpha_0_and_its_own_at_alpha_1(self, trials: Trials) -> None:
        worker = trials.bench.worker()
        result = trials.run(trials.repeat(shots=3, frontier=True), worker)
        zero_shot = trials.bench.run(trials.bench.repeat("zeroshot", alphas=(0.0,), shots=3), worker)
        at_0 = [line for line in result.evaluations if line.alpha == 0.0]
        assert [plain(line) for line in at_0] == [plain(line) for line in zero_shot.evaluations]
        assert trials.bench.primary(result, 1.0)["id_val"] == result.score
        assert result.alpha in (0.0, 0.5, 1.0)
        assert json.loads(json.dumps(result.to_json(), allow_nan=False)) == result.to_json()
        for line in result.evaluations:
            assert line.role in ROLES
            shown = line.role != "id_val" and line.alpha in (1.0, result.alpha)
            assert line.metrics.keys() == METRICS.keys() | ({"nll", "brier", "ece"} if shown else set())
            assert all(0 <= value <= 1 for value in plain(line).metrics.values())
            assert line.n_examples == {"id_val": 9}.get(line.split, 21)

    def test_its_models_come_out_and_plain_open_clip_predicts_the_same_bits_or_they_are_refused(
        self, trials: Trials, is_portable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spec = trials.repeat(shots=4, epochs=1)
        task = trials.bench.task(spec)
        curve = AlphaCurve(trials.method, task, trials.fit(spec, task.shared))
        refusals = [trials.bench.refusal(trials.method, curve.at(alpha), task) for alpha in (0.5, 1.0)]
        assert any(refusals) != is_portable
        if not is_portable:
            assert all(re.fullmatch(rf"{trials.method.name}: .*; .*", str(line)) for line in refusals)
            return
        split = task.shared.split("id_test")
        paths = [tmp_path / f"{row}.png" for row in range(len(split))]
        for row, path in enumerate(paths):
            split.images[row].save(path)
        monkeypatch.setattr(sys, "argv", ["predict.py"])
        for alpha in (0.0, 0.5, 1.0):
            export = Export.of(curve, spec.trial_id, alpha, Model(arch="digits-clip", pretrained="bundled"), threads=1)
            with drafted(tmp_path / f"at {alpha}") as draft:
                export.write(draft)
            namespace: dict[str, Any] = {}
            with contextlib.chdir(tmp_path / f"at {alpha}"), torch.random.fork_rng():
                exec(export.snippet, namespace)  # noqa: S102
            own = trials.method.logits(curve.at(alpha), task, split) if alpha else zero_shot_logits(task, split)
            assert torch.equal(namespace["logits"](paths), own), f"`portable` and `classifier` differ at {alpha}"
            assert namespace["labels"] == list(task.shared.dataset.class_names)

    def test_a_prediction_does_not_depend_on_what_else_is_in_its_batch(self, trials: Trials) -> None:
        task, method = trials.bench.task(trials.spec()), trials.method
        model = method.zero_shot(task)
        whole = method.logits(model, task, task.id_val)
        assert whole.shape == (27, 3)
        features = task.shared.features(task.id_val)
        inputs = features if method.frozen_encoder else torch.cat(list(task.shared.evaluation_batches(task.id_val)))
        with torch.no_grad():
            alone = method.classifier(model.eval(), task)(inputs[4:5])
        torch.testing.assert_close(alone, whole[4:5], rtol=1e-4, atol=1e-3)

    # Classes that training did not have

    def test_it_predicts_among_new_classes_at_every_alpha_if_it_says_so(self, trials: Trials) -> None:
        spec = trials.repeat(shots=3, epochs=1, frontier=True)
        worker = trials.bench.worker(Tiny(new_classes=True))
        result = trials.run(spec, worker)
        found = {line.alpha: line for line in result.evaluations if line.split == "new"}
        if not trials.method.open_vocabulary:
            assert not found
            return
        assert found.keys() == {0.0, 0.5, 1.0}
        zero_shot = trials.bench.run(trials.bench.repeat("zeroshot", alphas=(0.0,), shots=3), worker)
        assert plain(found[0.0]) == next(plain(line) for line in zero_shot.evaluations if line.split == "new")
        others = [line for line in result.evaluations if line.split != "new"]
        assert others == trials.run(spec).evaluations, "other splits are evaluated as they are without it"
        fitted = trials.fit(spec, worker)
        curve = AlphaCurve(trials.method, trials.bench.task(spec, worker), fitted).with_classes(worker.split("new"))
        assert curve is not None
        assert trials.method.logits(curve.at(1.0), curve.task, worker.split("new")).shape == (14, len(NEW_CLASSES))

    # What it must leave alone

    def test_it_leaves_what_trials_share_as_it_was(self, trials: Trials) -> None:
        worker = trials.bench.worker()
        clip = worker.pretrained.clip
        spec = trials.repeat(shots=3)
        before = {name: value.clone() for name, value in clip.state_dict().items()}
        memo = shared_tensors(trials, worker, spec)
        trials.run(spec, worker)
        assert trials.bench.same(clip.state_dict(), before)
        assert all(parameter.grad is None and parameter.requires_grad for parameter in clip.parameters())
        assert not any(module.training for module in clip.modules())
        assert trials.bench.same(shared_tensors(trials, worker, spec), memo)

    # What is chosen never sees the ID test or an OOD split

    @pytest.mark.parametrize("shots", [None, 3])
    def test_a_search_trial_opens_no_test_split_and_holds_id_val_alone(self, trials: Trials, shots: int | None) -> None:
        worker = trials.bench.worker(Tiny(closed=REPORTED))
        result = trials.run(trials.spec(shots=shots, epochs=1), worker)
        assert {(line.split, line.role, line.alpha) for line in result.evaluations} == {("id_val", "id_val", 1.0)}
        assert result.alpha is None
        assert trials.bench.primary(result, 1.0) == {"id_val": result.score}
        with pytest.raises(InputError, match="id_test was opened"):  # the lock does work
            trials.run(trials.repeat(shots=shots, epochs=1), worker)

    def test_a_few_shot_search_trial_from_one_pool_opens_the_training_split_alone(self, trials: Trials) -> None:
        worker = trials.bench.worker(Tiny(own_id_val=False, closed=REPORTED))
        assert {line.n_examples for line in trials.run(trials.spec(shots=4, epochs=1), worker).evaluations} == {12}

    def test_test_labels_change_no_choice_and_no_weight_and_are_opened_last(self, trials: Trials) -> None:
        spec = trials.repeat(alphas=ALPHAS, shots=3, epochs=1)
        data = Tiny(), Tiny(poisoned=REPORTED)
        workers = [trials.bench.worker(one) for one in data]
        honest, fooled = (trials.run(spec, worker) for worker in workers)
        for field in ("score", "loss", "metric", "best_epoch", "epochs", "alpha", "curve"):
            assert getattr(honest, field) == getattr(fooled, field), field
        chosen_on = [[line for line in one.evaluations if line.role == "id_val"] for one in (honest, fooled)]
        assert chosen_on[0] == chosen_on[1]
        assert trials.bench.primary(honest, 1.0) != trials.bench.primary(fooled, 1.0)
        for one in data:
            assert one.opened[-3:] == list(REPORTED)
            assert set(one.opened[:-3]) <= {"train", "id_val"}
