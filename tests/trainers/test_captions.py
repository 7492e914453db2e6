"""A caption per image: in tables, in FLYP's loss, in identities and in retrieval."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import hub_folders
import numpy as np
import pytest
import torch
from gradients import (
    LABELS,
    a_batch,
    assert_equal,
    gradient_method,
    gradients,
    started,
)
from PIL import Image
from refusal import refused
from spaces import space_with

from flyp_sweep.search_spaces.readers.hub import HubDataset, HubSplits
from flyp_sweep.trainers import datasets, preflight
from flyp_sweep.trainers.data.content import Hashes
from flyp_sweep.trainers.data.identity import identify, outline
from flyp_sweep.trainers.data.inspection import skip_unreadable
from flyp_sweep.trainers.datasets.base import Dataset, Split
from flyp_sweep.trainers.evaluation import retrieval
from flyp_sweep.trainers.evaluation.predict import TwoTowers
from flyp_sweep.trainers.evaluation.retrieval import Captioned, recalls
from flyp_sweep.trainers.methods.base import Batch
from flyp_sweep.trainers.methods.flyp import FLYP
from flyp_sweep.trainers.models.prompts import encode_text
from flyp_sweep.trainers.shared import Shared
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.testing.bench import Bench, Tiny
from flyp_sweep.trainers.testing.reader_contract import examples
from flyp_sweep.trainers.training.grad_cache import Gradients

CLASSES = ("ant", "bee")
COUNTS = {"train": 12, "val": 2, "test": 3, "sketch": 3}
TABLES: dict[str, Any] = {
    "train": "train.csv",
    "id_val": "val.csv",
    "id_test": "test.csv",
    "ood": {"sketch": "sketch.csv"},
}


# Tables


def rows_of(root: Path, split: str) -> list[list[str]]:
    with (root / f"{split}.csv").open(newline="") as file:
        return list(csv.reader(file))


def write_rows(root: Path, split: str, rows: list[list[str]]) -> None:
    with (root / f"{split}.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Tables of paths, labels and captions, of images of different colours."""
    shade = 0
    for split, count in COUNTS.items():
        rows = [["path", "label", "caption"]]
        for name in CLASSES:
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(count):
                shade += 1
                image = Image.new("RGB", (8, 8), (shade, 0, 7))
                image.putpixel((0, 0), (0, 255, 0))
                image.save(tmp_path / split / name / f"{number}.png")
                rows.append([f"{split}/{name}/{number}.png", name, f"an {name} of shade {shade}"])
        write_rows(tmp_path, split, rows)
    return tmp_path


def made(root: Path, **changes: Any) -> Dataset:
    return datasets.make(space(**changes).datasets[0], root)


def space(methods: tuple[str, ...] = ("flyp",), train: dict[str, Any] | None = None, **changes: Any) -> Any:
    own = {"name": "insects", "tables": TABLES, "columns": {"caption": "caption"}, **changes}
    search = {"num_samples": 1, "space": {"lr": 1e-3, "weight_decay": 0.1, "l2": 1e-3}}
    return space_with(
        dataset=own, methods=list(methods), search=search, train={"epochs": 1, "batch_size": 8, **(train or {})}
    )


def captions_by_name(split: Split) -> dict[str, str]:
    assert split.captions is not None
    files: Any = split.images
    return dict(zip(files.files(), split.captions, strict=True))


def test_a_caption_stays_with_its_image_when_a_part_is_held_out_or_left_out_or_drawn(root: Path, bench: Bench) -> None:
    whole = captions_by_name(made(root).split("train"))
    assert len(set(whole.values())) == 24
    held_out = made(root, tables=TABLES | {"id_val": {"from": "train", "fraction": 0.25}})
    parts = [captions_by_name(held_out.split(name)) for name in ("train", "id_val")]
    assert {**parts[0], **parts[1]} == whole
    assert [len(part) for part in parts] == [18, 6]
    (root / "train/bee/3.png").write_bytes(b"no image")
    dataset = made(root)
    skip_unreadable(dataset, None)
    left = captions_by_name(dataset.split("train"))
    assert whole.items() - left.items() == {(str(root / "train/bee/3.png"), "an bee of shade 16")}
    task = bench.task(bench.spec(shots=2), bench.worker(dataset))
    drawn = task.train
    assert drawn.captions is not None
    assert drawn.captions == [list(left.values())[row] for row in drawn.images.indices.tolist()]
    tokens = task.captions
    assert tokens is not None
    assert torch.equal(tokens.long(), bench.pretrained.tokenizer(list(drawn.captions)))


def blank(root: Path) -> None:
    rows = rows_of(root, "train")
    rows[5][2] = "  "
    write_rows(root, "train", rows)


def without_column(root: Path, split: str) -> None:
    write_rows(root, split, [row[:2] for row in rows_of(root, split)])


def test_a_table_of_results_says_that_training_reads_captions(root: Path) -> None:
    assert made(root).rules() == ["train: contrastive losses pair each image with its caption, not with a prompt"]


def test_a_training_table_without_a_caption_for_each_image_is_refused(root: Path) -> None:
    blank(root)
    refused(lambda: preflight.check(space(), root), "train.csv: row 5 below the header: found no caption; expected")
    without_column(root, "train")
    refused(lambda: preflight.check(space(), root), "train.csv: found no column 'caption' among", "expected it once")


def test_what_is_not_read_and_what_is_cut_is_said(root: Path) -> None:
    without_column(root, "test")
    rows = rows_of(root, "sketch")
    rows[2][2] = "very " * 100
    write_rows(root, "sketch", rows)
    checked = preflight.check(space(("flyp", "ft", "lp"), {"pairs": "images_x_templates"}), root)
    assert "captions of insects: not read by the losses of ft, lp" in checked.warnings
    said = [line for line in checked.warnings if "retrieval" in line or "pairs" in line]
    assert said == [
        "train.pairs: not read by flyp: these read one caption for each image of insects, so an epoch takes each image "
        "once",
        "captions of insects: no retrieval for ft, lp, whose models have no text encoder of their own",
    ]
    remarks = [line for line in checked.data["insects"].remarks if line.startswith(("id_test", "sketch"))]
    assert remarks[0] == "id_test: found no column 'caption': retrieval is not evaluated on it"
    assert remarks[1].startswith("sketch: the context of digits-clip cuts 1 of 6 captions, e.g. 'very very")
    assert len(remarks) == 2


# Identity


@pytest.mark.parametrize(
    ("split", "changed"),
    [("train", {"training", "train"}), ("val", set()), ("test", {"id_test"}), ("sketch", {"sketch"})],
)
def test_a_changed_caption_is_another_training_or_another_evaluation(root: Path, split: str, changed: set[str]) -> None:
    before = identify(made(root), Hashes(None))
    outlined = outline(made(root))
    rows = rows_of(root, split)
    rows[1][2] += "!"
    write_rows(root, split, rows)
    after = identify(made(root), Hashes(None))
    pairs = [{**one.fitted, **one.evaluated, "training": one.training} for one in (before, after)]
    assert {name for name in pairs[0] if pairs[0][name] != pairs[1][name]} == changed
    assert outline(made(root)) != outlined


# The loss


@pytest.mark.parametrize("name", ["flyp", "flyp_masked", "flyp_frozen_text", "flyp_plus_ce", "carot"])
@pytest.mark.parametrize("micro_batch", [None, 5])
def test_the_loss_on_captions_that_are_prompts_is_the_loss_on_these_prompts(
    bench: Bench, worker: Shared, name: str, micro_batch: int | None
) -> None:
    method = gradient_method(name)
    task = bench.task(bench.spec(name, micro_batch=micro_batch), worker)
    templates = torch.arange(len(LABELS)) % task.prompts.shape[1]
    captions = task.prompts[LABELS, templates]
    found = []
    for more in ({"templates": templates}, {"captions": captions}):
        model = started(method, task)
        Gradients(method, model, task).backward(replace(a_batch(), **more))
        found.append(gradients(model))
    assert_equal(*found)


def test_an_epoch_takes_each_image_with_its_own_caption_whatever_the_pairs(bench: Bench) -> None:
    seen: list[tuple[int, str]] = []
    tiny = Tiny(captioned=True)
    whole = tiny.split("train")
    captions = list(whole.captions or ())
    tokens = map(tuple, bench.pretrained.tokenizer(captions).tolist())
    known = dict(zip(tokens, captions, strict=True))

    class Watching(FLYP):
        def inputs(self, batch: Batch, task: Task) -> tuple[torch.Tensor, ...]:
            assert batch.captions is not None
            texts = [known[tuple(row)] for row in batch.captions.tolist()]
            seen.extend(zip(batch.labels.tolist(), texts, strict=True))
            return super().inputs(batch, task)

    bench.fit(bench.spec("flyp", epochs=1, pairs="images_x_templates"), bench.worker(tiny), Watching())
    assert sorted(seen) == sorted(zip(whole.labels.tolist(), captions, strict=True))


# Retrieval


def by_hand(queries: np.ndarray, candidates: np.ndarray, right: np.ndarray, k: int) -> float:
    """The share of queries with a right candidate among the first k of all candidates, ordered one by one."""
    hits = 0
    for row, query in enumerate(queries):
        similarities = [float(query @ candidate) for candidate in candidates]
        order = sorted(range(len(candidates)), key=lambda one: (-similarities[one], right[row, one]))
        hits += any(right[row, one] for one in order[:k])
    return hits / len(queries)


@pytest.mark.parametrize("at_once", [1, 50, 10**6])
def test_recall_is_that_of_candidates_ordered_by_similarity(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(retrieval, "SIMILARITIES", at_once)
    rng = np.random.default_rng(0)
    queries, candidates = (rng.integers(-2, 3, (count, 4)).astype(np.float32) for count in (37, 23))  # with ties
    right = rng.random((37, 23)) < 0.05
    right[np.arange(37), rng.integers(23, size=37)] = True
    matches = torch.from_numpy(np.argwhere(right).T[:, rng.permutation(int(right.sum()))])
    found = recalls(torch.from_numpy(queries), torch.from_numpy(candidates), matches)
    assert found == {k: by_hand(queries, candidates, right, k) for k in (1, 5, 10)}
    assert 0 < found[1] < found[5] < found[10] < 1


def test_a_model_that_tells_nothing_apart_retrieves_nothing() -> None:
    same, matches = torch.ones(30, 2), torch.arange(30).repeat(2, 1)
    for broken in (same, torch.full((30, 2), torch.nan)):
        assert recalls(broken, same, matches) == {1: 0.0, 5: 0.0, 10: 0.0}


def test_an_image_that_hub_data_hold_once_for_each_caption_is_one_image(tmp_path: Path, bench: Bench) -> None:
    pytest.importorskip("datasets")
    for split, rows in hub_folders.by_split([one for one in examples() if one.split != "sketch"]).items():
        again = [*rows, rows[0]]
        captions = [f"text {number}" for number in range(len(again))]
        hub_folders.write_parquet(tmp_path / f"birds/data/{split}-00000-of-00001.parquet", again, caption=captions)
    splits = {"train": "train", "id_val": "validation", "id_test": "test"}
    entry = HubDataset(name="birds", hub="birds", splits=HubSplits(**splits), caption="caption").to_train_on()
    task = bench.task(bench.spec("flyp"), bench.worker(datasets.make(entry, tmp_path)))
    captioned = Captioned(task, task.shared.split("id_test"))
    assert (len(captioned.tokens), captioned.rows.tolist()) == (7, [0, 1, 2, 3, 4, 5])


def test_images_of_one_caption_and_captions_of_one_image_are_all_right(root: Path, bench: Bench) -> None:
    rows = rows_of(root, "test")
    rows[2][2] = rows[1][2]  # the same caption of two images
    rows.append([rows[6][0], rows[6][1], "another caption of the last image"])
    write_rows(root, "test", rows)
    dataset = made(root)
    task = bench.task(bench.spec("flyp"), bench.worker(dataset))
    split = task.shared.split("id_test")
    captioned = Captioned(task, split)
    assert (len(captioned.tokens), len(captioned.rows), captioned.matches.shape[1]) == (6, 6, 7)
    clip = task.pretrained.clip
    captioned.seen(0.5, TwoTowers(clip, task.zero_shot_head), next(iter(task.evaluation_inputs(split, False))))
    found = captioned.metrics(0.5)
    with torch.no_grad():
        images = task.shared.features(split)[[0, 1, 2, 3, 4, 5]].numpy()
        texts = list(dict.fromkeys(split.captions or ()))
        embedded = encode_text(clip, bench.pretrained.tokenizer(texts)).numpy()
    right = np.zeros((6, 6), dtype=bool)
    for row, text in zip([0, 1, 2, 3, 4, 5, 5], split.captions or (), strict=True):
        right[row, texts.index(text)] = True
    for k in (1, 5):
        assert found[f"image_to_text_r{k}"] == by_hand(images, embedded, right, k)
        assert found[f"text_to_image_r{k}"] == by_hand(embedded, images, right.T, k)
    assert captioned.metrics(0.0) == found
