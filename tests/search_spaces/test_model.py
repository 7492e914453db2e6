"""What a valid search space says: defaults, cells, labels, grids of alphas."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from flyp_sweep.search_spaces import (
    Cell,
    FolderDataset,
    Model,
    OwnDataset,
    SearchSpace,
    TableDataset,
    WiseFT,
    dump,
    from_mapping,
    yaml_text,
)
from flyp_sweep.search_spaces.distributions import Choice, Constant, LogUniform
from flyp_sweep.search_spaces.sections import Resources

MINIMAL: dict[str, Any] = {
    "name": "x",
    "dataset": "digits",
    "model": {"arch": "digits-clip", "pretrained": "bundled"},
    "methods": ["ft", "flyp"],
    "search": {"num_samples": 3},
}
FOLDERS = {"train": "a/train", "id_val": "a/val"}


def test_defaults() -> None:
    space = from_mapping(MINIMAL)
    assert space.datasets == ("digits",)
    assert space.shots_list == (None,)
    assert [model.label for model in space.models] == ["digits-clip"]
    assert (space.train.epochs, space.train.batch_size, space.train.templates) == (10, 256, "all")
    assert (space.search.algorithm, space.search.batch, space.search.seeds) == ("random", 4, 1)
    assert (space.early_stopping.patience, space.scheduler.name, space.repeats.seeds) == (5, "fifo", 5)
    assert (space.wise_ft.alphas, space.wise_ft.frontier, space.resources) == (11, False, None)
    assert space.source == "search space"


def test_warmup_is_a_share_of_all_steps_or_a_number_of_them() -> None:
    train = from_mapping(MINIMAL).train
    assert [train.warmup_of(steps) for steps in (80, 10_000, 20_000)] == [4, 500, 500]
    given = from_mapping({**MINIMAL, "train": {"warmup_steps": 7}}).train
    assert [given.warmup_of(steps) for steps in (80, 20_000)] == [7, 7]
    assert from_mapping({**MINIMAL, "train": {"warmup": 0.1, "warmup_steps": None}}).train.warmup_of(80) == 8


@pytest.mark.parametrize(("written", "epochs"), [(3, 3), ("none", None), (None, None)])
def test_patience_is_a_number_of_epochs_or_none(written: object, epochs: int | None) -> None:
    space = from_mapping({**MINIMAL, "early_stopping": {"patience": written}})
    assert space.early_stopping.epochs == epochs
    assert from_mapping(yaml_text.read(dump(space), "")).early_stopping == space.early_stopping


def test_gradients_are_bounded_for_all_methods_or_for_those_named() -> None:
    named = from_mapping({**MINIMAL, "train": {"grad_clip": {"ft": 1.0}}}).train
    assert [named.grad_clip_of(method) for method in ("ft", "flyp")] == [1.0, None]
    assert from_mapping({**MINIMAL, "train": {"grad_clip": 0.5}}).train.grad_clip_of("flyp") == 0.5
    without = from_mapping({**MINIMAL, "train": {"grad_clip": {"ft": 1.0}}}, overrides=["methods=[flyp]"])
    assert without.train.grad_clip_of("flyp") is None


def test_cells_come_in_the_order_data_set_model_shots_method() -> None:
    models = [{"arch": "A", "pretrained": "t"}, {"arch": "B"}]
    own = {"name": "mine", "folders": FOLDERS}
    space = from_mapping({**MINIMAL, "dataset": ["digits", own], "model": models, "shots": [4, 16]})
    cells = space.cells()
    assert len(cells) == 16
    assert cells[:3] == [
        Cell("digits", "A/t", 4, "ft"),
        Cell("digits", "A/t", 4, "flyp"),
        Cell("digits", "A/t", 16, "ft"),
    ]
    assert cells[4] == Cell("digits", "B", 4, "ft")
    assert cells[8] == Cell("mine", "A/t", 4, "ft")
    assert space.model_of(cells[4]) is space.models[1]
    assert isinstance(space.dataset_of(cells[8]), OwnDataset)


def test_a_method_replaces_and_extends_the_space_they_share() -> None:
    search = {
        "num_samples": 3,
        "space": {"lr": {"loguniform": [1e-6, 1e-3]}, "weight_decay": {"choice": [0, 0.1]}},
        "per_method": {"ft": {"lr": 0.1, "extra": 1}},
    }
    space = from_mapping({**MINIMAL, "search": search})
    assert space.for_method("ft") == {"lr": Constant(0.1), "weight_decay": Choice((0.0, 0.1)), "extra": Constant(1)}
    assert space.for_method("flyp") == {"lr": LogUniform(1e-6, 1e-3), "weight_decay": Choice((0.0, 0.1))}


@pytest.mark.parametrize(
    ("model", "label"),
    [
        (Model(arch="digits-clip", pretrained="bundled"), "digits-clip"),
        (Model(arch="hf-hub:org/clip"), "hf-hub:org/clip"),
        (Model(arch="ViT-B-16", pretrained="openai"), "ViT-B-16/openai"),
        (Model(arch="ViT-B-16", pretrained="runs/a/best.v2.safetensors"), "ViT-B-16/best.v2"),
        (Model(arch="ViT-B-16", pretrained="best.pt"), "ViT-B-16/best"),
        (Model(arch="ViT-B-16", pretrained="openai", name="CLIP"), "CLIP"),
    ],
)
def test_label(model: Model, label: str) -> None:
    assert model.label == label


def test_alphas() -> None:
    assert WiseFT().grid == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    assert WiseFT(alphas=2).grid == (0.0, 1.0)
    assert from_mapping({**MINIMAL, "wise_ft": {"alphas": [0.5, 0]}}).wise_ft.grid == (0.0, 0.5, 1.0)
    assert from_mapping({**MINIMAL, "wise_ft": {"alphas": [1]}}).wise_ft.grid == (1.0,)


def test_own_data_of_both_kinds_may_stand_in_one_list_and_have_defaults() -> None:
    tables = {"train": "train.csv", "id_val": "val.parquet", "ood": {"night": "night.TSV"}}
    space = from_mapping(
        {**MINIMAL, "dataset": ["digits", {"name": "a", "tables": tables}, {"name": "b", "folders": FOLDERS}]}
    )
    digits, listed, folders = space.datasets
    assert digits == "digits"
    assert isinstance(listed, TableDataset)
    assert isinstance(folders, FolderDataset)
    for own in (listed, folders):
        assert (own.templates, own.metric, own.class_names) == (("a photo of a {}.",), "accuracy", None)
    assert (listed.tables.train, listed.tables.id_test, listed.tables.ood) == ("train.csv", None, tables["ood"])
    assert (listed.columns.path, listed.columns.label, listed.images) == ("path", "label", None)
    assert (folders.folders.id_test, folders.folders.ood) == (None, {})
    assert SearchSpace.model_validate({**MINIMAL, "dataset": space.dataset}) == space


def test_equal_whatever_the_source_and_carried_to_another_process() -> None:
    space = from_mapping(MINIMAL, "here.yaml")
    assert space == from_mapping(MINIMAL, "there.yaml")
    copy = pickle.loads(pickle.dumps(space))
    assert copy == space
    assert copy.source == "here.yaml"
    assert space != from_mapping({**MINIMAL, "name": "y"})


@pytest.mark.parametrize(
    ("resources", "world", "threads"),
    [
        ({"cpu": 0.5}, 1, 1),
        ({"cpu": 4}, 1, 4),
        ({"cpu": 4, "gpu": 0.25}, 1, 4),
        ({"cpu": 9, "gpu": 4}, 4, 2),
        ({"cpu": 8, "gpu": 4, "processes": 1}, 1, 8),
        ({"cpu": 4, "processes": 2}, 2, 2),
    ],
)
def test_a_trial_has_a_process_for_each_of_its_gpus_unless_told_otherwise(
    resources: dict[str, float], world: int, threads: int
) -> None:
    found = Resources(**resources)
    assert (found.world, found.threads) == (world, threads)
