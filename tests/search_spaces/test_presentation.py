"""The section `tables`: what it takes, what it refuses, and that nothing else knows it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from flyp_sweep import search_spaces
from flyp_sweep.search_spaces.errors import InputError

SPACE: dict[str, Any] = {
    "name": "s",
    "dataset": "digits",
    "model": {"arch": "digits-clip", "pretrained": "bundled"},
    "methods": ["zeroshot", "ft", "flyp"],
    "search": {"num_samples": 2, "space": {"lr": {"loguniform": [1e-4, 1e-2]}}},
}

SECTION = {
    "labels": {"flyp": "Ours & co", "ViT-B-16/openai": "B/16"},
    "columns": ["ID", "mean OOD"],
    "methods": ["flyp+greedy_soup", "ft"],
    "sort": "ID",
    "control": "ft",
    "caption": "On two\nlines.",
    "decimals": 0,
}


def test_the_section_is_kept_and_a_space_without_it_is_written_as_before():
    space = search_spaces.from_mapping({**SPACE, "tables": SECTION})
    assert space.tables is not None
    assert space.tables.caption == "On two lines."
    again = search_spaces.from_mapping(yaml.safe_load(search_spaces.dump(space)))
    assert again == space
    assert "tables" not in search_spaces.dump(search_spaces.from_mapping(SPACE))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"colums": ["ID"]}, "unknown key 'colums' in tables; allowed: labels, columns, methods, sort, control"),
        ({"columns": "ID"}, "tables.columns: found 'ID'; expected a list of columns, as in [ID, mean OOD]"),
        ({"methods": ["fly"]}, "tables.methods[0]: found 'fly'; expected one of the methods of this search space"),
        ({"methods": ["ft", "ft"]}, "tables.methods: found [ft, ft]; expected every item once, not 'ft' twice"),
        ({"control": "flip"}, "(did you mean 'flyp'?)"),
        ({"decimals": "2"}, "tables.decimals: found '2'; expected a whole number from 0 to 6"),
        ({"labels": {"flyp": 3}}, "tables.labels.flyp: found 3; expected a mapping from names to printed texts"),
        ({"caption": "x" * 3000}, "expected 1 to 2000 characters"),
    ],
)
def test_what_is_wrong_is_one_line(section, message):
    with pytest.raises(InputError) as caught:
        search_spaces.from_mapping({**SPACE, "tables": section})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_message_says_a_bound_once():
    with pytest.raises(InputError) as caught:
        search_spaces.from_mapping({**SPACE, "tables": {"decimals": 7}})
    assert str(caught.value) == "search space: tables.decimals: found 7; expected a whole number from 0 to 6"


def test_it_can_be_set_on_the_command_line():
    space = search_spaces.from_mapping(SPACE, overrides=["tables.decimals=2", "tables.methods=[ft]"])
    assert space.tables is not None
    assert (space.tables.decimals, space.tables.methods) == (2, ("ft",))
