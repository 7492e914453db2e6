"""`--set key.path=value`: changes to a search space from the command line, before it is checked."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flyp_sweep.search_spaces import yaml_text
from flyp_sweep.search_spaces.complaints import is_within, key_path, one_line, problem, shorten, show
from flyp_sweep.search_spaces.errors import InputError


@dataclass(frozen=True)
class Override:
    """One `--set`: where, and which value belongs there."""

    text: str
    keys: tuple[str, ...]
    value: Any

    @classmethod
    def parse(cls, text: str) -> Override:
        """Raises InputError unless `text` is `key.path=value`, the value in YAML."""
        path, equals, value = text.partition("=")
        keys = tuple(key.strip() for key in path.split("."))
        if not equals or not all(keys) or len(keys) > yaml_text.DEEPEST or not path.isprintable():
            expected = "key.path=value, as in train.epochs=3"
            raise InputError(f"--set: {problem(show(text), expected)}")
        return cls(text, keys, yaml_text.read(value, one_line(shorten(f"--set {text}"))))

    def sets(self, key: str) -> bool:
        """Whether the value at the key path `key` comes from this override."""
        return is_within(key, key_path(self.keys))

    def concerns(self, key: str) -> bool:
        """Whether a complaint about the key path `key` may be about this override."""
        return self.sets(key) or is_within(key_path(self.keys), key)


def apply(data: Mapping[Any, Any], overrides: Sequence[Override], where: Callable[[str], str]) -> dict[Any, Any]:
    """A copy of `data` with the overrides made in turn; sections that are missing are created.

    Methods that the last `methods=...` leaves out take their own parts of `search.per_method` and `train.grad_clip`
    with them.

    Raises InputError for a path that leads into something that is no mapping; `where` names the place of a key path.
    """
    result: dict[Any, Any] = copy.deepcopy(dict(data))
    for override in overrides:
        section = result
        for depth, key in enumerate(override.keys[:-1], start=1):
            if section.get(key) is None:
                section[key] = {}
            section = section[key]
            if not isinstance(section, dict):
                expected = f"a mapping, as --set {shorten(override.text)} needs one"
                place = key_path(override.keys[:depth])
                hint = f"(write the whole of it: --set '{place}=...')"
                raise InputError(one_line(f"{where(place)}: {place}: {problem(show(section), expected, hint)}"))
        section[override.keys[-1]] = copy.deepcopy(override.value)
    if any(override.keys == ("methods",) for override in overrides):
        _forget(result, data)
    return result


def _forget(data: dict[Any, Any], before: Mapping[Any, Any]) -> None:
    """Take what is said of the methods that are gone since `before` out of `data`, unless it was changed.

    What is malformed is left to the checks.
    """
    listed, left = before.get("methods"), data.get("methods")
    if isinstance(listed, list) and isinstance(left, list):
        gone = [method for method in listed if isinstance(method, str) and method not in left]
        for section, key in (("search", "per_method"), ("train", "grad_clip")):
            own, old = _by_method(data, section, key), _by_method(before, section, key)
            for method in gone:
                if method in own and own[method] == old.get(method):
                    del own[method]


def _by_method(data: Mapping[Any, Any], section: str, key: str) -> dict[Any, Any]:
    held = data.get(section)
    own = held.get(key) if isinstance(held, dict) else None
    return own if isinstance(own, dict) else {}
