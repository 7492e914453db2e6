"""The types that the sections of a search space are made of.

The description of a field is what an error message says is expected there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from flyp_sweep.search_spaces.complaints import LONGEST_TEXT, is_text, mismatch, show
from flyp_sweep.search_spaces.distributions import Distribution, Scalar, parse, scalar
from flyp_sweep.search_spaces.json_schema import DISTRIBUTION, described

NUMBER, TEXT, LIST, MAPPING = "<number>", "<text>", "<list>", "<mapping>"
"""Tags of the branches of a union, which `shape` chooses by."""
TAGS = (NUMBER, TEXT, LIST, MAPPING)
"""What stands in pydantic's locations, but in no key path; `readers.TAGS` are more of the kind."""

RESERVED_HPARAMS = frozenset(
    {"trial_id", "dataset", "model", "shots", "method", "stage", "seed", "alpha", "split", "role", "metric", "value"}
    | {"n_examples"}
)
"""Columns of the tidy results, beside which hyper-parameters stand as columns of their own."""

_SLUG = re.compile(r"[a-z0-9_][a-z0-9_.-]*")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_METHOD = re.compile(r"[A-Za-z][A-Za-z0-9_-]*|[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


class Section(BaseModel):
    """One mapping of a search space: typed without coercion, closed to unknown keys, never changed.

    A field's description is what an error message says is expected there. The text below a field says what it means.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        made = handler(core_schema)
        described(cls, handler.resolve_ref_schema(made))
        return made


def shape(value: object) -> str | None:
    """Which branch of a union a value belongs to, by its type alone: so an error speaks of that branch only."""
    if isinstance(value, Mapping | BaseModel):
        return MAPPING
    if isinstance(value, list | tuple):
        return LIST
    if isinstance(value, str):
        return TEXT
    return NUMBER if isinstance(value, int | float) else None


def as_slug(text: str) -> str:
    """`text` as a name of a-z, 0-9, '_', '.' and '-', e.g. of the last part of a path; `data` where nothing is left."""
    return re.sub(r"[^a-z0-9_.-]+", "-", text.lower()).strip(".-")[:100] or "data"


def repeated(items: Iterable[Hashable]) -> list[Any]:
    """The items that occur more than once."""
    return [item for item, count in Counter(items).items() if count > 1]


def _check_text(text: str) -> str:
    if not text.strip() or not is_text(text):
        raise mismatch(text, f"1 to {LONGEST_TEXT} characters on one line, without control characters")
    return text


def _check_slug(text: str) -> str:
    if not _SLUG.fullmatch(text) or len(text) > 100:
        raise mismatch(text, "at most 100 of a-z, 0-9, '_', '.' and '-', not starting with '.' or '-'")
    return text


def _check_hparam(text: str) -> str:
    if not _IDENTIFIER.fullmatch(text) or len(text) > 100:
        raise mismatch(text, "a hyper-parameter's name: letters, digits and '_', no digit first")
    if text in RESERVED_HPARAMS:
        raise mismatch(text, f"a name that is no column of the results: not {', '.join(sorted(RESERVED_HPARAMS))}")
    return text


def _check_method(text: str) -> str:
    if not _METHOD.fullmatch(text) or len(text) > 200:
        raise mismatch(text, "a method's name, or module.path:ClassName for one of your own")
    return text


def _check_label(text: str) -> str:
    if not _METHOD.fullmatch(text) or ":" in text or len(text) > 100:
        raise mismatch(text, "a name for its row: letters, digits, '_' and '-', a letter first, at most 100")
    return text


def _check_ensemble(text: str) -> str:
    if not _METHOD.fullmatch(text) or len(text) > 200:
        raise mismatch(text, "an ensemble's name, or module.path:ClassName for one of your own")
    return text


def _check_logger(text: str) -> str:
    if not _METHOD.fullmatch(text) or len(text) > 200:
        raise mismatch(text, "a logger's name, or module.path:ClassName for one of your own")
    return text


def _check_unique(items: tuple[Any, ...]) -> tuple[Any, ...]:
    for item in repeated(items):
        raise mismatch(list(items), f"every item once, not {show(item)} twice")
    return items


Text = Annotated[str, AfterValidator(_check_text)]
Slug = Annotated[str, AfterValidator(_check_slug)]
MethodName = Annotated[str, AfterValidator(_check_method)]
Label = Annotated[str, AfterValidator(_check_label)]
EnsembleName = Annotated[str, AfterValidator(_check_ensemble)]
LoggerName = Annotated[str, AfterValidator(_check_logger)]
HparamName = Annotated[str, AfterValidator(_check_hparam)]
Unique = AfterValidator(_check_unique)
Count = Annotated[int, Field(le=10**9)]
"""A whole number that a sweep can count to."""
FromList = Field(strict=False)
"""Lets the lists of YAML into a tuple."""
Space = dict[
    HparamName,
    Annotated[
        Distribution,
        BeforeValidator(parse),
        PlainSerializer(lambda drawn: drawn.to_json()),
        WithJsonSchema(DISTRIBUTION),
    ],
]
Values = dict[HparamName, Annotated[Scalar, BeforeValidator(scalar)]]
"""A configuration, or a part of one."""
