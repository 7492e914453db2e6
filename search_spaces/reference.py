"""The reference of all keys as a Markdown page: `python -m flyp_sweep.search_spaces.reference > docs/reference.md`.

A key's type is what error messages expect of it (the field's description), its default is that of the model, and its
meaning is the text below the field.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Sequence
from typing import Any, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from flyp_sweep.search_spaces.distributions import Choice, Constant, IntRange, LogUniform, Uniform
from flyp_sweep.search_spaces.fields import Section
from flyp_sweep.search_spaces.meanings import meanings
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.search_spaces.own_data import HeldOut, OwnDataset
from flyp_sweep.search_spaces.readers import READERS
from flyp_sweep.search_spaces.translation import choices_of, keys_of
from flyp_sweep.search_spaces.yaml_text import flow

Row = tuple[str, ...]

INTRODUCTION = """\
# Every key of a search space

A search space is a YAML file. Each key below is written as its path: `train.epochs` is the key `epochs` of the mapping
`train`. On the command line `--set train.epochs=3` sets the same key. A default `-` means that the key is left out. A
run refuses unknown keys.

`make reference` writes this page, from the model that reads the file."""
DISTRIBUTIONS = """\
## Distributions

A hyper-parameter in `search.space` or `search.per_method` is one of these:"""
OWN_DATA = """\
## Your own data

`dataset` and `evaluate` take mappings in place of names. One key says where the images are, and chooses the form:
{forms}. [Your own data](data.md) explains the forms with examples. These keys belong to every form:"""
HELD_OUT = """\
## Held-out splits

`id_val` and `id_test` of every form take these keys too."""
DRAWN = (
    Constant(0.1),
    Choice((0.0, 0.1, 0.2)),
    IntRange(1, 8),
    Uniform(0.0, 0.5),
    LogUniform(1e-6, 1e-3),
)


def page() -> str:
    """The whole page."""
    forms = ", ".join(f"[`{key}`](#form-{key})" for key in READERS)
    parts = [INTRODUCTION, "## The file", _table(_rows(SearchSpace))]
    for key, sections in _sections(SearchSpace).items():
        if not _own_data(sections):
            rows = [row for section in dict.fromkeys(sections) for row in _rows(section, f"{key}.")]
            parts += [f"## `{key}`", _about(sections[0]), _table(rows)]
        if key == "search":
            parts += [DISTRIBUTIONS, _distributions()]
    parts += [OWN_DATA.format(forms=forms), _table(_rows(OwnDataset))]
    for key, reader in READERS.items():
        own = _rows(reader, but=set(OwnDataset.model_fields) - set(reader.__annotations__))
        own.sort(key=lambda row: not row[0].startswith(f"`{key}"))
        parts += [f"### Form `{key}`", _about(reader), _table(own)]
    parts += [HELD_OUT, _about(HeldOut), _table(_rows(HeldOut))]
    return "\n\n".join(parts) + "\n"


def _about(section: type[Section]) -> str:
    """What a section is, in the words of its docstring."""
    return inspect.cleandoc(section.__doc__ or "")


def _rows(section: type[Section], prefix: str = "", but: Collection[str] = ()) -> list[Row]:
    """A row for each field of `section` and of the sections within it: path of the key, type, default and meaning."""
    means, defaults = meanings(section), _defaults(section)
    rows: list[Row] = []
    for name, field in section.model_fields.items():
        if name in but:
            continue
        path = prefix + (field.alias or name)
        inner = list(_within(field.annotation))
        key = f"[`{path}`](#{_anchor(path, inner)})" if inner and section is SearchSpace else f"`{path}`"
        rows.append((key, _type(field), _default(name, field, defaults), means.get(name, "")))
        if section is not SearchSpace:
            rows += [row for one in inner for row in _rows(one, f"{path}.")]
    return rows


def _anchor(key: str, sections: Sequence[type[Section]]) -> str:
    """Where the page explains the sections under a key of the file."""
    return "your-own-data" if _own_data(sections) else key


def _own_data(sections: Sequence[type[Section]]) -> bool:
    return any(issubclass(section, OwnDataset) for section in sections)


def _type(field: FieldInfo) -> str:
    """What belongs there, as error messages say it."""
    if field.description is not None:
        return field.description
    return " or ".join(f"`{one}`" for one in choices_of(field.annotation)) or "a mapping"


def _defaults(section: type[Section]) -> Section | None:
    """The section with all its defaults; None where these alone are not enough."""
    if inspect.isabstract(section):
        return None
    try:
        return section()
    except ValidationError:
        return None


def _default(name: str, field: FieldInfo, defaults: Section | None) -> str:
    if field.is_required():
        return "required"
    value = getattr(defaults, name) if defaults else field.get_default()
    if isinstance(value, Section):
        return "its defaults"
    return "-" if value is None else f"`{flow(value)}`"


def _sections(section: type[Section]) -> dict[str, list[type[Section]]]:
    """The keys of `section` whose values are sections, and which; each reader of own data is one."""
    found = {key: list(_within(field.annotation)) for key, field in keys_of(section).items()}
    return {key: sections for key, sections in found.items() if sections}


def _within(annotation: Any) -> Iterator[type[Section]]:
    """The sections within a type, but held-out splits, which every form of own data has."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        if issubclass(annotation, Section) and annotation is not HeldOut:
            yield annotation
        return
    for argument in get_args(annotation):
        yield from _within(argument)


def _distributions() -> str:
    rows: list[Row] = [(f"`lr: {flow(one.to_json())}`", inspect.cleandoc(type(one).__doc__ or "")) for one in DRAWN]
    return _table(rows, ("in YAML", "meaning"))


def _table(rows: Sequence[Row], heads: Row = ("key", "type", "default", "meaning")) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)


if __name__ == "__main__":
    print(page(), end="")
