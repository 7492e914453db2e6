"""Prompts of the user's own classes, as a model's tokenizer sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from refusal import refused
from spaces import space_with

from flyp_sweep.search_spaces.model import Model
from flyp_sweep.trainers import datasets, text_checks
from flyp_sweep.trainers.models import prompt_check, text_sides

LONG = "a drawing by a child on a white sheet of paper with a blue pen and a bit of water colour " * 5


def remarks(root: Path, labels: tuple[str, str], **more: Any) -> list[str]:
    for split in ("train", "val"):
        for label in labels:
            (root / split / label).mkdir(parents=True)
            Image.new("RGB", (4, 4)).save(root / split / label / "0.png")
    space = space_with(dataset={"name": "own", "folders": {"train": "train", "id_val": "val"}, **more})
    return text_checks.check_prompts(datasets.make(space.datasets[0], root), space)


@pytest.mark.parametrize(
    ("labels", "more", "words"),
    [
        (("sea_lion", "sea lion"), {}, ("'sea lion' and 'sea_lion'", "'a photo of a sea lion.'")),
        (("a", "b"), {"class_names": {"a": "Crane", "b": "crane"}}, ("'a' and 'b'", "dataset.class_names")),
        (
            ("a", "b"),
            {"class_names": {"a": LONG + "one", "b": LONG + "two"}},
            ("the context of digits-clip cuts 2 of 2",),
        ),
        (("a", "b"), {"class_names": ["a \u4e00", "a  \u4e00"]}, ("'a' and 'b'",)),
    ],
)
def test_classes_with_the_same_tokens_are_refused(
    tmp_path: Path, labels: tuple[str, str], more: dict[str, Any], words: tuple[str, ...]
) -> None:
    refused(lambda: remarks(tmp_path, labels, **more), *words)


def test_prompts_that_are_cut_after_they_differ_are_told(tmp_path: Path) -> None:
    (line,) = remarks(tmp_path, ("a", "b"), class_names={"a": "one " + LONG, "b": "two"}, templates=["{}", "a {}."])
    assert line.startswith("prompts: the context of digits-clip cuts 2 of 4, e.g. 'one a drawing")


def test_ordinary_prompts_need_no_remark(tmp_path: Path) -> None:
    assert remarks(tmp_path, ("cat", "dog")) == []


@pytest.mark.parametrize("name", datasets.registry())
def test_no_published_prompt_is_cut(name: str) -> None:
    """Some, e.g. of ImageNet's two missiles, are equal: they are taken as published."""
    dataset = datasets.make(name, Path("absent"))
    tokenizer = text_sides.tokenizer_of(Model(arch="ViT-B-16", pretrained="openai"))
    assert tokenizer is not None
    assert prompt_check.cut(tokenizer, dataset.class_names, dataset.templates) == []
