"""Pydantic's errors in the words of the search space's author."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic.fields import FieldInfo

from flyp_sweep.search_spaces import readers
from flyp_sweep.search_spaces.complaints import FieldError, key_path, problem, shorten, show, unknown_key
from flyp_sweep.search_spaces.errors import nearest
from flyp_sweep.search_spaces.fields import TAGS

Location = tuple[str | int, ...]

_UNKNOWN = ("extra_forbidden", "invalid_key")
_KEY = "[key]"
"""What pydantic adds to a location when it means a key rather than its value."""
_MARKERS = (*TAGS, *readers.TAGS, _KEY)
HYPER_PARAMETERS = ("lr", "learning_rate", "weight_decay", "l2")
"""Names that authors give as settings; methods say which they have."""
_MOST = 100
"""Errors that are looked at: a file with more is not worth the time."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: where, and in words that name the place."""

    at: Location
    text: str


def findings(error: ValidationError, root: type[BaseModel]) -> list[Finding]:
    """What `error` found in data for `root`: unknown keys first, as they often explain what is then missing."""
    errors = error.errors(include_url=False)[:_MOST]
    unknown = [_unknown(one, root) for one in errors if one["type"] in _UNKNOWN]
    others = [_finding(one, root) for one in errors if one["type"] not in _UNKNOWN]
    return _innermost(unknown + [one for one in others if not any(_explains(key, one) for key in unknown)])


def _explains(unknown: Finding, other: Finding) -> bool:
    """Whether `other` only misses what the unknown key was probably meant to be."""
    return other.at[:-1] == unknown.at[:-1] and unknown.text.endswith(f" (did you mean {other.at[-1]!r}?)")


def _innermost(found: list[Finding]) -> list[Finding]:
    """Without the findings that only follow from one deeper inside, e.g. a list that is short of its wrong items."""
    outer = {finding.at[:depth] for finding in found for depth in range(len(finding.at))}
    return [finding for finding in found if finding.at not in outer]


def _unknown(error: Any, root: type[BaseModel]) -> Finding:
    *section, key = error["loc"]
    at = _clean(section)
    hint = " (hyper-parameters are searched: write it into search.space)" if key in HYPER_PARAMETERS else ""
    return Finding((*at, key), unknown_key(key, key_path(at), list(keys_of(_section(root, section)))) + hint)


def _finding(error: Any, root: type[BaseModel]) -> Finding:
    at = _clean(error["loc"])
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, FieldError):
        at += cause.at
        return _located(at, cause.problem)
    found = "nothing" if error["type"] == "missing" else show(error["input"])
    if error["loc"] and error["loc"][-1] == _KEY:
        return _located(
            at[:-1], problem(f"key {found}", "a text as a key", f"(write '{shorten(str(error['input']))}')")
        )
    return _located(at, problem(found, *_expected(error, root)))


def _located(at: Location, text: str) -> Finding:
    return Finding(at, f"{key_path(at)}: {text}" if at else text)


def _clean(location: Iterable[str | int]) -> Location:
    """A location as the author knows it, without the branches of unions."""
    return tuple(part for part in location if part not in _MARKERS)


def _expected(error: Any, root: type[BaseModel]) -> tuple[str, str]:
    """What belongs at the place of an error, and a hint that fits what was found there."""
    found, location = error["input"], error["loc"]
    field = _field(root, location)
    if field is None:
        return _mapping_of(root), ""
    if field.description is None:
        if choices := choices_of(field.annotation):
            return f"one of {', '.join(choices)}", nearest(str(found), choices)
        return _mapping_of(next(_models(field.annotation, location))), ""
    hint = _hint(error, field.description)
    # The description is that of the list; what is wrong is one of the texts in it.
    if error["type"] == "string_type" and isinstance(_clean(location)[-1], int):
        return "a text", hint
    return field.description, hint


def choices_of(annotation: Any) -> tuple[str, ...]:
    """The texts that a field may be, if these are all that it may be."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return next((get_args(one) for one in get_args(annotation) if get_origin(one) is Literal), ())


def _hint(error: Any, expected: str) -> str:
    """What to do about a number that is written as a text, the other way round, or about one that is too large."""
    kind, found = error["type"], error["input"]
    if kind == "string_type" and isinstance(found, bool | int | float):
        return f"(in quotes it is a text: '{str(found).lower()}')"
    if kind == "less_than_equal" and isinstance(found, int):
        most = f"{error['ctx']['le']:g}"
        return "" if most in expected.split() else f"(at most {most})"
    if isinstance(found, str) and kind in ("int_type", "float_type", "union_tag_invalid") and found.strip().isdecimal():
        return "(leave out the quotes)"
    return ""


def _mapping_of(model: type[BaseModel]) -> str:
    return f"a mapping with keys out of {', '.join(keys_of(model))}"


def keys_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a section, by the keys that stand for them in a file."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _section(root: type[BaseModel], location: Sequence[str | int]) -> type[BaseModel]:
    """The model of the mapping at a location."""
    field = _field(root, location)
    return root if field is None else next(_models(field.annotation, location))


def _field(root: type[BaseModel], location: Sequence[str | int]) -> FieldInfo | None:
    """The innermost field around a location: a list's or mapping's own field stands for its items."""
    field: FieldInfo | None = None
    models = [root]
    for part in _clean(location):
        for model in models:
            if part in (keys := keys_of(model)):
                field = keys[str(part)]
                models = list(_models(field.annotation, location))
                break
    return field


def _models(annotation: Any, location: Sequence[str | int]) -> Iterator[type[BaseModel]]:
    """The models within a type, e.g. Model within `Model | tuple[Model, ...]`.

    Of the branches of a union, those that `location` names.
    """
    if isinstance(annotation, type) and get_origin(annotation) is None and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        tags = [one.tag for one in getattr(argument, "__metadata__", ()) if isinstance(one, Tag)]
        if all(tag in location for tag in tags):
            yield from _models(argument, location)
