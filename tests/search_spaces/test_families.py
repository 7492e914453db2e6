"""Entries that stand for several data sets: leave-one-out over domains, and folds."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.loading import dump, from_mapping
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.search_spaces.own_data import OwnDataset
from flyp_sweep.search_spaces.readers.domains import DomainDataset

DOMAINS = {"name": "office_home", "domains": "data/office_home"}
FOLDS = {"name": "birds", "folders": {"train": "train", "id_val": {"from": "train", "folds": 3}, "id_test": "test"}}


def space_of(*datasets: dict[str, Any], **settings: Any) -> SearchSpace:
    return from_mapping(
        {
            "name": "own",
            "dataset": list(datasets) if len(datasets) > 1 else datasets[0],
            "model": {"arch": "digits-clip", "pretrained": "bundled"},
            "methods": ["zeroshot", "ft"],
            "search": "none",
            **settings,
        }
    )


def sources(dataset: str | OwnDataset) -> dict[str, Any]:
    assert isinstance(dataset, OwnDataset)
    found = dataset.sources.model_dump(mode="json", exclude_none=True)
    return {key: value for key, value in found.items() if value}


def test_leave_one_out_is_a_data_set_for_each_domain_without_a_look_at_files() -> None:
    space = space_of(DOMAINS | {"leave_one_out": ["Art", "Real World", "clipart"]})
    names = ["office_home-art", "office_home-real_world", "office_home-clipart"]
    assert [cell.dataset for cell in space.cells()] == [name for name in names for _ in range(2)]
    assert sources(space.datasets[1]) == {
        "train": "Art, clipart",
        "id_val": {"from": "train", "fraction": 0.2, "seed": 0, "stratified": True},
        "ood": {"Real World": "Real World"},
    }
    family = space.family_of(names[1])
    assert family is not None
    assert (family.name, family.kind) == ("office_home", "domain")
    assert family.parts == dict(zip(names, ["Art", "Real World", "clipart"], strict=True))
    assert family.told == "3 held-out domains"
    assert from_mapping(yaml.safe_load(dump(space))) == space


def test_folds_are_a_data_set_each_and_one_fold_is_the_data_set_itself() -> None:
    space = space_of(FOLDS, {"name": "two", "folders": FOLDS["folders"] | {"id_val": FOLD}})
    assert [cell.dataset for cell in space.cells()][::2] == ["birds-fold1", "birds-fold2", "birds-fold3", "two"]
    held = [sources(dataset)["id_val"] for dataset in space.datasets]
    assert [(one["folds"], one["fold"]) for one in held] == [(3, 1), (3, 2), (3, 3), (3, 2)]
    family = space.family_of("birds-fold2")
    assert family is not None
    assert (family.kind, family.parts["birds-fold2"], family.told) == ("fold", "fold 2", "3 folds")
    assert space.family_of("two") is None


FOLD = {"from": "train", "folds": 3, "fold": 2}


def test_a_domain_data_set_that_is_no_family() -> None:
    space = space_of(DOMAINS | {"id_domains": ["art", "clipart"], "ood_domains": ["product"]})
    (dataset,) = space.datasets
    assert isinstance(dataset, DomainDataset)
    assert sources(dataset)["ood"] == {"product": "product"}
    assert space.family_of("office_home") is None


def test_to_evaluate_on_leave_one_out_is_every_domain() -> None:
    space = space_of(FOLDS, evaluate=[DOMAINS | {"leave_one_out": ["art", "clipart"]}])
    (other,) = space.evaluate or ()
    assert sources(other) == {"ood": {"art": "art", "clipart": "clipart"}}


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ({}, "dataset: found no domain; expected id_domains and ood_domains, or leave_one_out"),
        ({"ood_domains": ["art"]}, "dataset.id_domains: found nothing; expected a list of domains to train on"),
        ({"leave_one_out": ["art"]}, "dataset.leave_one_out: found [art]; expected a list of 2 domains or more"),
        ({"leave_one_out": ["a", "b"], "id_domains": ["c"]}, "dataset.id_domains: found [c]; expected nothing beside"),
        ({"leave_one_out": ["Art", "art"]}, "expected names that differ in more than case and signs"),
        ({"id_domains": ["a", "b"], "ood_domains": ["b"]}, "dataset.ood_domains: found 'b'; expected every domain"),
        ({"id_domains": ["a"], "ood_domains": ["train"]}, "dataset.ood_domains: found 'train'; expected the name of a"),
        (
            {"leave_one_out": ["a", "b"], "id_val": {"from": "train", "folds": 3}},
            "dataset.id_val.folds: found 3; expected a fraction, or one fold as in fold: 1",
        ),
        ({"id_domains": ["a"], "id_test": {"from": "train", "folds": 2}}, "dataset.id_test.folds: found 2; expected"),
    ],
)
def test_domains_that_nobody_can_mean_are_one_line(entry: dict[str, Any], found: str) -> None:
    with pytest.raises(InputError) as caught:
        space_of(DOMAINS | entry)
    assert found in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("held", "settings", "found"),
    [
        ({"folds": 3, "fold": 4}, {}, "id_val.fold: found 4; expected one of the 3 folds, 1 to 3"),
        ({"fold": 1}, {}, "id_val.fold: found 1; expected it beside folds"),
        ({}, {}, "id_val: found neither fraction nor folds; expected one of them"),
        ({"folds": 3, "fraction": 0.1}, {}, "id_val: found fraction and folds; expected one of them"),
        ({"folds": 1}, {}, "id_val.folds: found 1; expected a whole number, 2 or more"),
        ({"folds": 3}, {"shots": 4}, "id_val.folds: found 3; expected no folds beside shots (a few-shot cell draws"),
    ],
)
def test_folds_that_nobody_can_mean_are_one_line(held: dict[str, Any], settings: dict[str, Any], found: str) -> None:
    with pytest.raises(InputError) as caught:
        space_of({"name": "b", "folders": {"train": "t", "id_val": {"from": "train", **held}}}, **settings)
    assert found in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        (
            DOMAINS | {"ood_domains": ["art"], "id_val": {"from": "train", "fraction": 0.5}},
            r"evaluate\[0\].id_val.from: found no id_domains; expected the domains",
        ),
        (
            {"name": "id_test", "corruptions": "c"},
            r"evaluate\[0\].name: found 'id_test'; expected a name that is no split",
        ),
        (
            {"name": "c", "corruptions": "c", "severities": [0]},
            r"evaluate\[0\].severities\[0\]: found 0; expected a list",
        ),
    ],
)
def test_what_cannot_be_evaluated_on_is_one_line(entry: dict[str, Any], found: str) -> None:
    with pytest.raises(InputError, match=found):
        space_of(FOLDS, evaluate=[entry])


def test_names_of_a_family_are_names_of_data_sets() -> None:
    with pytest.raises(InputError, match="found two data sets named 'birds-fold1'"):
        space_of(FOLDS, FOLDS | {"name": "birds-fold1", "folders": FOLDS["folders"] | {"id_val": "val"}})


def test_a_grid_of_corruptions_is_evaluated_on_and_not_trained_on() -> None:
    grid = {"name": "cifar10_c", "corruptions": "data/CIFAR-10-C", "only": ["fog"], "severities": [1, 5]}
    space = space_of(FOLDS, evaluate=[grid])
    assert sources((space.evaluate or ())[0]) == {"ood": {"cifar10_c": "data/CIFAR-10-C"}}
    with pytest.raises(
        InputError, match="found corruptions; expected a data set to train on; a grid of corruptions is"
    ):
        space_of(grid)
