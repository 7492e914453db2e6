"""What a run writes down of its settings is all that determines its trials; what cannot be meant is refused or told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sweeps import plans_of, space_of

from flyp_sweep.orchestrator.protocol.algorithms import algorithm_of, fewer_configs
from flyp_sweep.orchestrator.protocol.plan import CellPlan
from flyp_sweep.orchestrator.runs.prepared import prepared
from flyp_sweep.orchestrator.runs.sweep import open_folder
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.loading import load
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.trainers.preflight import check
from flyp_sweep.trainers.spec import TrialSpec

GRID = {"algorithm": "grid", "space": {"lr": {"choice": [1e-4, 1e-3]}, "weight_decay": 0.0}}


def trials(plan: CellPlan) -> list[str]:
    """The ids of a cell's first generation, and of the repeats of its first configuration."""
    configs = algorithm_of(plan.space).ask(plan, 0, []) if plan.searched else [{}]
    searched = [one.trial_id for config in configs for one in plan.candidates(config)]
    return searched + [plan.repeat_trial(configs[0], seed).trial_id for seed in plan.repeat_seeds]


def written(space: SearchSpace, folder: Path) -> SearchSpace:
    """`space` as a run writes it down."""
    ready = prepared(space, check(space, Path("absent")), folder)
    return load(open_folder(folder, ready.space_text).space)


@pytest.mark.parametrize("search", [{}, {"search": GRID}])
def test_the_run_folder_s_space_alone_gives_the_same_trials(tmp_path, search) -> None:
    methods = ["zeroshot", "lp", "ft", "lpft", "flyp", "tip_adapter"]
    space = space_of(methods=methods, train={"epochs": 3, "batch_size": 64}, **search)
    again = written(space, tmp_path / "run")
    assert again.for_method("lp")["C"].values()[0] == 1e-6, "the method's own default is in it"
    assert [trials(plan) for plan in plans_of(again)] == [trials(plan) for plan in plans_of(space)]


def test_what_the_settings_come_to_is_in_the_run_folder_s_space(tmp_path) -> None:
    space = space_of(methods=["zeroshot", "ft"], train={"epochs": 4, "batch_size": 100})
    written(space, tmp_path / "run")
    text = (tmp_path / "run" / "space.yaml").read_text()
    for setting in ("warmup: 0.05", "optimizer: adamw", "crop_scale: [0.9, 1.0]", "patience: 5", "include_start: true"):
        assert setting in text
    assert "# digits/digits-clip/full/ft: 32 steps, 2 of them warm-up; selected by accuracy on id_val" in text
    assert re.search(r"# Images per class of digits:\n#   class = name +train +id_val +id_test .*\n#   zero +80 ", text)


def schedule(**train: object) -> tuple[int, tuple[str, ...]]:
    """Warm-up steps of `ft` on 800 images, and what is said of them."""
    space = space_of(methods=["ft"], train=train)
    (plan,) = plans_of(space)
    return plan.search_trial({}, 0).warmup_steps, check(space, Path("absent")).warnings


def test_the_default_warm_up_is_a_twentieth_of_all_steps() -> None:
    assert schedule(epochs=10, batch_size=100) == (4, ())


def test_the_default_warm_up_is_never_longer_than_the_paper_s() -> None:
    assert schedule(epochs=100, batch_size=4) == (500, ())


def test_a_warm_up_of_a_fifth_of_all_steps_is_told() -> None:
    steps, (line,) = schedule(epochs=10, batch_size=100, warmup_steps=16)
    assert (steps, line[:66]) == (16, "train.warmup_steps: digits warms up for 16 of its 80 steps; a shor")


@pytest.mark.parametrize(
    ("train", "said"),
    [
        (
            {"epochs": 10, "batch_size": 100, "warmup_steps": 80},
            "found 80; expected less than the 80 steps that",
        ),
        ({"epochs": 10, "batch_size": 801}, "found 801; expected at most the 800 training images of digits"),
        ({"epochs": 10, "batch_size": 100, "warmup": 0.1, "warmup_steps": 8}, "expected nothing beside train.warmup"),
    ],
)
def test_a_schedule_that_cannot_be_meant_is_refused(train, said) -> None:
    with pytest.raises(InputError, match=said):
        check(space_of(methods=["ft"], train=train), Path("absent"))


def test_a_few_shot_batch_of_all_images_is_told() -> None:
    space = space_of(methods=["ft"], shots=4, train={"epochs": 20, "batch_size": 256, "warmup_steps": 0})
    (line,) = check(space, Path("absent")).warnings
    assert line == "train.batch_size: batches of digits, 4-shot hold all its 40 images, not 256"


def test_label_smoothing_comes_to_the_methods_that_read_it_and_the_others_are_named() -> None:
    space = space_of(methods=["zeroshot", "lp", "ft", "flyp"], train={"epochs": 2, "label_smoothing": 0.1})
    smoothing = {plan.cell.method: plan.search_trial({}, 0).label_smoothing for plan in plans_of(space)}
    assert smoothing == {"zeroshot": 0.0, "lp": 0.0, "ft": 0.1, "flyp": 0.0}
    assert check(space, Path("absent")).warnings == ("train.label_smoothing: not read by lp, flyp",)
    with pytest.raises(InputError, match=r"label_smoothing: found 0.1; expected 0, as no method here"):
        check(space_of(methods=["lp", "flyp"], train={"label_smoothing": 0.1}), Path("absent"))


@pytest.mark.parametrize(
    ("train", "views"),
    [
        ({}, ((0.9, 1.0), False, False)),
        ({"augmentation": "clip", "flip": True}, ((0.9, 1.0), True, False)),
        ({"augmentation": "none"}, (None, False, False)),
        ({"augmentation": "flip"}, (None, True, False)),
        ({"augmentation": "randaugment", "crop_scale": [0.5, 1.0]}, ((0.5, 1.0), False, True)),
    ],
)
def test_an_augmentation_comes_to_the_trials_and_stays_the_same_when_written_down(tmp_path, train, views) -> None:
    space = space_of(methods=["ft"], train={"epochs": 2, **train})
    for one in (space, written(space, tmp_path / "run")):
        (plan,) = plans_of(one)
        spec = plan.search_trial({}, 0)
        assert (spec.crop_scale, spec.flip, spec.randaugment) == views
        assert TrialSpec.from_json(spec.to_json()) == spec


FEW = {"space": {"lr": {"choice": [1e-4, 1e-3, 1e-2]}, "weight_decay": {"choice": [0.0, 0.1]}}}


@pytest.mark.parametrize("algorithm", ["random", "optuna"])
def test_samples_are_different_configurations(algorithm) -> None:
    space = space_of(methods=["ft"], search={"algorithm": algorithm, "num_samples": 5, "batch": 5, **FEW})
    (plan,) = plans_of(space)
    configs = algorithm_of(space).ask(plan, 0, [])
    assert len({tuple(one.items()) for one in configs}) == 5
    assert fewer_configs([plan]) == []


@pytest.mark.parametrize("algorithm", ["random", "optuna"])
def test_fewer_configurations_than_asked_for_are_all_there_are_and_told(algorithm) -> None:
    space = space_of(methods=["ft"], search={"algorithm": algorithm, "num_samples": 9, "batch": 9, **FEW})
    (plan,) = plans_of(space)
    assert len(algorithm_of(space).ask(plan, 0, [])) == algorithm_of(space).at_most(plan) == 6
    assert fewer_configs([plan]) == [
        "ft: there can be 6 configurations (lr: 3 x weight_decay: 2 values), fewer than the 9 of search.num_samples"
    ]


def test_layer_decay_comes_to_the_methods_that_train_layers_and_the_others_are_named() -> None:
    space = space_of(methods=["zeroshot", "lp", "ft", "coop"], train={"epochs": 2, "layer_decay": 0.75})
    decays = {plan.cell.method: plan.search_trial({}, 0).layer_decay for plan in plans_of(space)}
    assert decays == {"zeroshot": 1.0, "lp": 1.0, "ft": 0.75, "coop": 1.0}
    assert check(space, Path("absent")).warnings == ("train.layer_decay: not read by lp, coop",)
    with pytest.raises(InputError, match=r"layer_decay: found 0.75; expected 1, as no method here trains layers"):
        check(space_of(methods=["lp", "coop"], train={"layer_decay": 0.75}), Path("absent"))
