"""From a file, or the name of a bundled one, to a search space, and back to YAML."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from flyp_sweep.search_spaces import yaml_text
from flyp_sweep.search_spaces.complaints import key_path, one_line, problem
from flyp_sweep.search_spaces.errors import InputError, nearest
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.search_spaces.origin import Origin
from flyp_sweep.search_spaces.overrides import Override, apply
from flyp_sweep.search_spaces.plugin_path import plugin_folders
from flyp_sweep.search_spaces.translation import Finding, findings

SUFFIXES = (".yaml", ".yml")
MOST_FINDINGS = 3
"""Things that are wrong in one file and are told at once."""


def load(source: str | os.PathLike[str], overrides: Sequence[str] = ()) -> SearchSpace:
    """The search space in the file `source`, or the bundled one of that name, with `--set` overrides `key.path=value`.

    Raises InputError, always in one line, for anything that is not a valid search space.
    """
    name, text = read_file(source)
    data = yaml_text.read(text, name)
    if data is None:
        keys = ", ".join(SearchSpace.model_fields)
        raise InputError(f"{name}: found an empty file; expected a mapping with keys out of {keys}")
    space = _checked(data, Origin(name, "" if _is_bundled(source) else text, _parsed(overrides)))
    space._plugin_folders = plugin_folders(None if _is_bundled(source) else source)
    return space


def from_mapping(data: Mapping[str, Any], source: str = "search space", overrides: Sequence[str] = ()) -> SearchSpace:
    """The search space that `data`, a mapping as YAML would spell it, describes; `source` names it in errors.

    Raises InputError as `load` does.
    """
    return _checked(data, Origin(source, overrides=_parsed(overrides)))


def _parsed(overrides: Sequence[str]) -> tuple[Override, ...]:
    return tuple(Override.parse(text) for text in overrides)


def _checked(data: Any, origin: Origin) -> SearchSpace:
    if origin.overrides and isinstance(data, Mapping):
        data = apply(data, origin.overrides, replace(origin, overrides=()).where)
    try:
        space = SearchSpace.model_validate(data)
    except ValidationError as error:
        raise input_error(findings(error, SearchSpace), origin) from None
    space._origin = origin
    return space


def dump(space: SearchSpace) -> str:
    """Canonical YAML of `space`, defaults filled in, that loads as an equal search space."""
    return yaml_text.write(space.model_dump(mode="json", exclude_none=True))


def bundled() -> dict[str, str]:
    """The search spaces that come with the package: name -> what it is, from the comment in its first line."""
    files = sorted(_bundled_files().items())
    return {name: file.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ").rstrip() for name, file in files}


def bundled_text(name: str) -> str:
    """The text of a bundled search space. Raises InputError for another name."""
    files = _bundled_files()
    if name not in files:
        known = sorted(files)
        raise InputError(
            f"found no bundled search space {name!r}; expected one of {', '.join(known)}{nearest(name, known)}"
        )
    return files[name].read_text(encoding="utf-8")


def _bundled_files() -> dict[str, Traversable]:
    folder = resources.files("flyp_sweep.search_spaces")
    return {file.name.removesuffix(".yaml"): file for file in folder.iterdir() if file.name.endswith(".yaml")}


def _is_bundled(source: str | os.PathLike[str]) -> bool:
    return isinstance(source, str) and source in _bundled_files()


def read_file(source: str | os.PathLike[str]) -> tuple[str, str]:
    """The display name and the text of `source`. A bare name is a bundled space first, a file in this folder second."""
    name = os.fspath(source)
    if _is_bundled(source):
        text = _bundled_files()[name].read_bytes()
        name = f"search_spaces/{source}.yaml"
        return name, yaml_text.decode(text, name)
    display = one_line(name) or "''"
    try:
        with Path(name).open("rb") as file:
            # One byte too many is enough to see that a file is too long; /dev/zero has no end.
            return display, yaml_text.decode(file.read(yaml_text.LONGEST + 1), display)
    except FileNotFoundError:
        raise _not_found(name) from None
    except IsADirectoryError:
        inside = Path(name) / "space.yaml"
        hint = f" (did you mean {one_line(str(inside))!r}?)" if inside.is_file() else ""
        raise InputError(f"{display}: found a directory; expected a YAML file{hint}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(one_line(f"{name}: cannot be read: {reason}; expected a YAML file")) from None


def _not_found(name: str) -> InputError:
    known = list(bundled())
    expected = f"a YAML file or one of the bundled search spaces: {', '.join(known)}"
    return InputError(
        f"{one_line(name) or repr(name)}: {problem('no such file', expected, nearest(Path(name).stem, known))}"
    )


def input_error(found: Sequence[Finding], origin: Origin) -> InputError:
    """One line for what was found, naming the line of the file, or the overrides, that each finding stems from."""
    told = found[:MOST_FINDINGS]
    places = [key_path(finding.at) for finding in told]
    wheres = [origin.where(places[0]), *map(origin.also, places[1:])]
    texts = [f"{where}: {finding.text}" if where else finding.text for where, finding in zip(wheres, told, strict=True)]
    more = f"; and {len(found) - len(told)} more" if len(found) > len(told) else ""
    return InputError(one_line("; also ".join(texts) + more))
