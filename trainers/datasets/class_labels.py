"""Labels that people or programs write: their order, and which of them look alike."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from flyp_sweep.search_spaces.complaints import show

MOST_LISTED = 10
"""The most classes in an error message."""

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_WHOLE = re.compile(r"([+-]?)0*([0-9]+)(\.0*)?")
_DIGITS = re.compile(r"([0-9]+)")


def in_order(labels: Iterable[str]) -> list[str]:
    """Labels in natural order: as numbers if all are numbers, else as texts with embedded numbers.

    For example, 10 follows 2, and `bird_10` follows `bird_2`, in folders and in tables.
    """
    labels = sorted(labels)
    return sorted(labels, key=float if are_numbers(labels) else _natural)


def are_numbers(labels: Iterable[str]) -> bool:
    return all(map(_NUMBER.fullmatch, labels))


def _natural(label: str) -> list[str | int]:
    # The split alternates between texts and digits, so texts are compared with texts, and numbers with numbers.
    return [int(part) if at % 2 else part for at, part in enumerate(_DIGITS.split(label))]


def plain(label: str) -> str:
    """`label` without details that readers overlook: case, Unicode form, surrounding spaces, leading zeros."""
    text = unicodedata.normalize("NFKC", label)
    text = "".join(char for char in text if unicodedata.category(char) != "Cf")
    text = " ".join(text.casefold().split())
    whole = _WHOLE.fullmatch(text)
    return f"{whole[1].strip('+')}{whole[2]}" if whole else text


def alike(labels: Sequence[str]) -> tuple[str, str] | None:
    """The first two labels that a reader would confuse."""
    seen: dict[str, str] = {}
    for label in labels:
        other = seen.setdefault(plain(label), label)
        if other != label:
            return other, label
    return None


def several_in_one(labels: Sequence[str]) -> tuple[str, str] | None:
    """A label such as `cat|dog`, and a class that is part of it."""
    known = set(labels)
    for label in labels:
        for part in label.split("|") if "|" in label else ():
            if part.strip() in known:
                return label, part.strip()
    return None


def resembling(label: str, known: Sequence[str]) -> str:
    """` (it differs from 'cat' in ...)` for a label that a reader would confuse with a known one, else empty."""
    for other in known:
        if plain(other) == plain(label):
            return f" ({spelt(label)} differs from {spelt(other)} only in case, spaces, zeros or Unicode form)"
    return ""


def matched(names: Sequence[str], known: Sequence[str]) -> list[int | None]:
    """The index in `known` of each of `names`, ignoring case, spaces, zeros and Unicode form; None if it is absent.

    ImageNet has two classes called `missile` and two called `sunglasses`: the order of the names distinguishes them.
    Raises ValueError, with only the name, if it does not.
    """
    places: dict[str, list[int]] = {}
    for label, name in enumerate(known):
        for key in {name, plain(name)}:
            places.setdefault(key, []).append(label)
    found = [places.get(name) or places.get(plain(name)) or [] for name in names]
    certain = [labels[0] if len(labels) == 1 else None for labels in found]
    for several in {tuple(labels) for labels in found if len(labels) > 1}:
        own = [at for at, labels in enumerate(found) if tuple(labels) == several]
        if len(own) == len(several):
            for at, label in zip(own, several, strict=True):
                certain[at] = label
    in_turn = [label for label in certain if label is not None]
    for at, labels in enumerate(found):
        if len(labels) > 1 and certain[at] is None:
            low = next((label for label in reversed(certain[:at]) if label is not None), -1)
            high = next((label for label in certain[at + 1 :] if label is not None), len(known))
            between = [label for label in labels if low < label < high]
            if len(between) != 1 or in_turn != sorted(in_turn):
                raise ValueError(names[at])
            certain[at] = between[0]
    return certain


def spelt(label: str) -> str:
    """`label` in quotes, with escapes for invisible characters."""
    return ascii(label) if unicodedata.normalize("NFC", label) != label else show(label)


def listed(names: Sequence[str]) -> str:
    """The names for an error message, at most `MOST_LISTED` of them."""
    more = len(names) - MOST_LISTED
    return ", ".join(names[:MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
