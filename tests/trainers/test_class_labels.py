"""The order of labels, and labels that a reader takes for one."""

from __future__ import annotations

import pytest

from flyp_sweep.trainers.datasets.class_labels import alike, in_order, plain, resembling, several_in_one


@pytest.mark.parametrize(
    "labels",
    [
        ["1", "2", "10"],
        ["-10", "-2", "0", "3"],
        ["0.25", "0.5", "10.0"],
        ["bird_2", "bird_10", "bird_10a", "bird_10b", "bird_11"],
        ["1st", "2nd", "10th", "none"],
        ["NA", "a,b", "b_2", "null"],
        ["v1.9", "v1.10"],
    ],
)
def test_labels_stand_in_natural_order(labels: list[str]) -> None:
    assert in_order(labels[::-1]) == labels


@pytest.mark.parametrize(
    "other", [" cat", "cat ", "Cat", "c\u200bat", "\u00a0cat", "cat\u00a0", "\uff43\uff41\uff54", "\ufeffcat"]
)
def test_spellings_of_one_label(other: str) -> None:
    assert alike(["dog", "cat", other]) == ("cat", other)
    assert "differs from 'cat' only in" in resembling(other, ["cat", "dog"])


@pytest.mark.parametrize(
    ("one", "other"), [("caf\u00e9", "cafe\u0301"), ("1", "001"), ("1", "1.0"), ("7", "+7"), ("a b", "a  b")]
)
def test_forms_of_one_label(one: str, other: str) -> None:
    assert plain(one) == plain(other)


@pytest.mark.parametrize(
    "labels", [["cat", "cats"], ["1", "10", "100"], ["1", "-1"], ["1.0", "1.5"], ["a_b", "a b"], ["0", "00x"]]
)
def test_labels_that_differ(labels: list[str]) -> None:
    assert alike(labels) is None
    assert resembling(labels[0], labels[1:]) == ""


def test_what_cannot_be_seen_is_spelt_out() -> None:
    assert r"'cafe\u0301' differs from 'caf" in resembling("cafe\u0301", ["caf\u00e9"])


def test_several_labels_in_one() -> None:
    assert several_in_one(["cat", "cat|person", "dog"]) == ("cat|person", "cat")
    assert several_in_one(["a|b", "c|d"]) is None
