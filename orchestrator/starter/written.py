"""A search space as text to start from: what is given as lines, all other keys as comments with their defaults."""

from __future__ import annotations

import math
import shlex
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flyp_sweep.orchestrator.starter.found_data import FoundData
from flyp_sweep.search_spaces.complaints import one_line
from flyp_sweep.search_spaces.fields import Section
from flyp_sweep.search_spaces.json_schema import FILE
from flyp_sweep.search_spaces.loading import from_mapping
from flyp_sweep.search_spaces.meanings import meanings, plain
from flyp_sweep.search_spaces.own_data import HeldOut
from flyp_sweep.search_spaces.presentation import Presentation
from flyp_sweep.search_spaces.sections import Resources
from flyp_sweep.search_spaces.yaml_text import flow

WIDTH, COMMENTS_AT = 120, 40
LONGEST_VALUE = 70
"""Characters of a list or a mapping that stands in one line."""
LARGEST_BATCH = 256

SEARCHED = {"weight_decay": {"choice": [0.0, 0.1, 0.2]}}
DIGITS: dict[str, Any] = {
    "dataset": "digits",
    "model": {"arch": "digits-clip", "pretrained": "bundled"},
    "methods": ["zeroshot", "lp", "ft", "lpft", "flyp"],
    "train": {"epochs": 6, "batch_size": 100},
    "search": {"algorithm": "optuna", "num_samples": 8, "space": {"lr": {"loguniform": [1e-4, 3e-3]}, **SEARCHED}},
    "repeats": {"seeds": 5},
}
"""Without data of the user's own: data and a model that come with the package."""
OWN: dict[str, Any] = {
    **DIGITS,
    "model": {"arch": "ViT-B-16", "pretrained": "openai"},
    "train": {"epochs": 10},
    "search": {"algorithm": "optuna", "num_samples": 8, "space": {"lr": {"loguniform": [1e-6, 1e-4]}, **SEARCHED}},
}
"""Around data of the user's own."""
WITHOUT_DATA = "Data that come with flyp-sweep. `flyp-sweep init --data DIR` writes this part for your own images."
SHOWN: dict[str, Section] = {"resources": Resources(cpu=1), "tables": Presentation()}
"""What stands in a comment for a section that has no default."""
AUTO = {"train.micro_batch": "auto"}
"""How the default of a key is spelt, if not as its value."""


def written(name: str, file: str, found: FoundData | None) -> str:
    """The YAML of a search space called `name`, to be kept in `file`, on the data that were found, or on the digits."""
    given = {"name": name, **DIGITS} if found is None else {"name": name, **_around(found)}
    guesses = {"dataset": WITHOUT_DATA}
    if found is not None:
        guesses = {f"dataset.{key}": told for key, told in found.guesses.items()}
        guesses["train.batch_size"] = "Guessed from the number of training images."
    head = (
        f"# yaml-language-server: $schema={FILE}\n"
        "# A search space, written by `flyp-sweep init`. A key after # shows its default: remove the # to change it.\n"
        "# Check the file without starting anything:\n"
        f"#   {check_command(file)}\n\n"
    )
    return head + "\n".join(_Writer(guesses).section(from_mapping(given), given)) + "\n"


def check_command(file: str) -> str:
    """The command that checks a search space."""
    return one_line(f"flyp-sweep run {shlex.quote(file)} --dry-run")


def _around(found: FoundData) -> dict[str, Any]:
    size = min(LARGEST_BATCH, max(2, 2 ** int(math.log2(max(2, found.images // 4)))))
    return {**OWN, "dataset": found.dataset, "train": {**OWN["train"], "batch_size": size}}


@dataclass(frozen=True)
class _Writer:
    guesses: Mapping[str, str]
    """Key path -> what was guessed there."""

    def section(
        self, held: Section, given: Mapping[str, Any] | None, path: str = "", before: str = ""
    ) -> Iterator[str]:
        """The lines of a section: what is `given`, and the other keys of `held` as comments. None: all are comments.

        `before` is what stands before a key: its indentation, with the sign of comments in a section that is one.
        """
        told = meanings(type(held))
        for name, field in type(held).model_fields.items():
            key, value = field.alias or name, getattr(held, name)
            place = f"{path}.{key}".removeprefix(".")
            comment = " ".join(filter(None, [plain(told.get(name, "")), self.guesses.get(place, "")]))
            if given is not None and key in given:
                yield from self._active(f"{before}{key}:", given[key], value, comment, place)
            else:
                sign = "" if given is None else "# "
                yield from self._default(f"{before}{sign}{key}:", SHOWN.get(place, value), comment, place)

    def _active(self, code: str, given: Any, held: Any, comment: str, place: str) -> Iterator[str]:
        inside = f"{_indent(code)}  "
        if isinstance(held, Section) and isinstance(given, Mapping) and not isinstance(held, HeldOut):
            yield from _line(code, comment)
            yield from self.section(held, given, place, inside)
        elif isinstance(given, list | dict) and len(flow(given)) > LONGEST_VALUE:
            yield from _line(code, comment)
            pairs = given.items() if isinstance(given, dict) else ((None, one) for one in given)
            yield from (f"{inside}{'-' if key is None else f'{flow(key)}:'} {flow(value)}" for key, value in pairs)
        else:
            yield from _line(f"{code} {flow(given)}", comment)

    def _default(self, code: str, held: Any, comment: str, place: str) -> Iterator[str]:
        if isinstance(held, Section):
            yield from _line(code, comment)
            yield from self.section(held, None, place, f"{code[: code.index('#') + 2]}  ")
        else:
            yield from _line(f"{code} {flow(AUTO.get(place, held))}", comment)


def _indent(code: str) -> str:
    return code[: len(code) - len(code.lstrip())]


def _line(code: str, comment: str) -> Iterator[str]:
    """A line with its comment beside it, or below it where the line is long."""
    texts = textwrap.wrap(one_line(comment), WIDTH - COMMENTS_AT - 2, break_on_hyphens=False)
    if texts and len(code) < COMMENTS_AT:
        yield f"{code:<{COMMENTS_AT}}# {texts.pop(0)}"
    else:
        yield code
    yield from (f"{'':<{COMMENTS_AT}}# {text}" for text in texts)
