"""How bad input is described: one line with where it is, what was found, what is expected and what to do."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flyp_sweep.search_spaces.errors import InputError, nearest

LONGEST = 60
"""Characters of a found value that are shown."""
LONGEST_TEXT = 500
"""Characters of a text in a search space."""
_PRINTED_BITS = 256
_DEEPEST = 4
_PLAIN = re.compile(r"[A-Za-z0-9_./:-]+", re.ASCII)


class FieldError(ValueError):
    """What is wrong with one value, raised while a search space is checked.

    `at` leads on from that value to the spot within it.
    """

    def __init__(self, problem: str, at: Sequence[str | int] = ()) -> None:
        super().__init__(problem)
        self.problem = problem
        self.at = tuple(at)


def mismatch(found: object, expected: str, hint: str = "", at: Sequence[str | int] = ()) -> FieldError:
    """The complaint `found ...; expected ... (hint)` about any value."""
    return FieldError(problem(show(found), expected, hint), at)


def problem(found: str, expected: str, hint: str = "") -> str:
    """`found ...; expected ... (hint)` about something already put in words."""
    return f"found {found}; expected {expected}{' ' + hint.strip() if hint.strip() else ''}"


def space_error(source: str, key_path: str, found: object, expected: str, hint: str = "") -> InputError:
    """The InputError about a value that only a later check can judge, e.g. the name of a method.

    `source` is the `source` of the search space, `key_path` such as `train.epochs`, `hint` such as what `nearest` says.
    """
    return InputError(one_line(f"{source}: {key_path}: {problem(show(found), expected, hint)}"))


def unknown_key(key: object, section: str, allowed: Sequence[str]) -> str:
    """`unknown key 'epoch' in train; allowed: epochs, ... (did you mean 'epochs'?)`."""
    where = f" in {section}" if section else ""
    return f"unknown key {show(key)}{where}; allowed: {', '.join(allowed)}{nearest(str(key), allowed)}"


def counted(count: int, noun: str) -> str:
    """`1 image`, `2,000 images`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def one_of(names: Iterable[str]) -> str:
    """`a, b or c`."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def key_path(parts: Iterable[str | int]) -> str:
    """`search.space.lr` or `model[1].arch`; a key that would be hard to read is quoted."""
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += ("." if path else "") + (part if _PLAIN.fullmatch(part) else shorten(repr(part)))
    return path


def is_within(key: str, section: str) -> bool:
    """Whether the key path `key` is `section` or leads on from it."""
    return key == section or key.startswith((f"{section}.", f"{section}["))


def show(value: object) -> str:
    """`value` as one short line of YAML; texts are quoted, so that '3' and 3 can be told apart."""
    if value is None:
        return "nothing"
    return shorten(repr(value) if isinstance(value, str) else _flow(value))


def shorten(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def is_text(value: str) -> bool:
    """Whether `value` is of a sensible length, on one line and without control characters."""
    bad = ("Cc", "Cs", "Zl", "Zp")
    return len(value) <= LONGEST_TEXT and not any(unicodedata.category(char) in bad for char in value)


def one_line(text: str) -> str:
    """`text` with everything that could break a line or a terminal written as an escape."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _flow(value: Any, depth: int = 0) -> str:
    if not isinstance(value, Mapping | list | tuple):
        return _scalar(value)
    if depth > _DEEPEST:
        return "..."
    # No more than LONGEST items can be seen; without the cut a huge value would be rendered for nothing.
    if isinstance(value, Mapping):
        pairs = list(value.items())[:LONGEST]
        return "{" + ", ".join(f"{_flow(key, depth + 1)}: {_flow(item, depth + 1)}" for key, item in pairs) + "}"
    return "[" + ", ".join(_flow(item, depth + 1) for item in value[:LONGEST]) + "]"


def _scalar(value: object) -> str:
    if isinstance(value, str):
        is_plain = _PLAIN.fullmatch(value) and value[0].isalpha()
        return value if is_plain else repr(value[: LONGEST + 1])
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and value.bit_length() > _PRINTED_BITS:
        return hex(value)  # Python refuses to print thousands of decimal digits.
    return repr(value)
