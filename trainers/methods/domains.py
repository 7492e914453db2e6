"""The domain of a hyper-parameter, which its method declares, and the check of searched values against it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from flyp_sweep.search_spaces.complaints import mismatch, one_of, shorten
from flyp_sweep.search_spaces.distributions import Choice, Constant, Distribution, IntRange, LogUniform, Scalar, Uniform

_DASHES = re.compile("[\u2010-\u2015\u2212\ufe63\uff0d]")


@dataclass(frozen=True)
class Number:
    """A finite number within bounds: `above` and `below` are exclusive, `least` is inclusive; `whole`: an integer.

    The text `word` may replace the number.
    """

    above: float | None = None
    least: float | None = None
    below: float | None = None
    whole: bool = False
    word: str | None = None

    def __str__(self) -> str:
        bounds = [("above", self.above), ("at least", self.least), ("below", self.below)]
        told = [f"{words} {bound:g}" for words, bound in bounds if bound is not None]
        number = " ".join([f"a {'whole' if self.whole else 'finite'} number", " and ".join(told)]).strip()
        return f"{number}, or {self.word}" if self.word else number

    def allows(self, value: Scalar) -> bool:
        """Whether a hyper-parameter may have this value; true and false are not numbers."""
        if isinstance(value, str):
            return value == self.word
        if isinstance(value, bool) or not math.isfinite(value):
            return False
        return (
            (not self.whole or isinstance(value, int))
            and (self.above is None or value > self.above)
            and (self.least is None or value >= self.least)
            and (self.below is None or value < self.below)
        )


class Words:
    """One of these texts, e.g. which part of a model a method changes."""

    def __init__(self, *options: str) -> None:
        self.options = options

    def __str__(self) -> str:
        return one_of(self.options)

    def allows(self, value: Scalar) -> bool:
        """Whether a hyper-parameter may have this value."""
        return value in self.options


Domain = Number | Words


def check_domain(distribution: Distribution, domain: Domain | None, default: Distribution | None) -> None:
    """Raise FieldError if `distribution` holds a value outside `domain`.

    Without a domain, all values must have one kind (numbers, texts, true/false), that of the `default` if there is one.
    A text must then not spell a number.
    """
    values = ends(distribution)
    if domain is None:
        _check_kind(distribution, values, default)
        return
    if isinstance(domain, Number) and domain.whole and isinstance(distribution, Uniform | LogUniform):
        raise mismatch(distribution.to_json(), str(domain), "(write {int: [low, high]} or {choice: [..]})")
    for value in values:
        if not domain.allows(value):
            hint = _hint(value, domain) if isinstance(domain, Number) else ""
            raise mismatch(distribution.to_json(), str(domain), hint)


def ends(distribution: Distribution) -> Sequence[Scalar]:
    """The values of a list, or the two ends of a range."""
    match distribution:
        case Constant():
            return (distribution.value,)
        case Choice():
            return distribution.options
        case IntRange() | Uniform() | LogUniform():
            return (distribution.low, distribution.high)
    raise TypeError(f"no values of {distribution!r}")


def _check_kind(distribution: Distribution, values: Sequence[Scalar], default: Distribution | None) -> None:
    kind = _kind((values if default is None else ends(default))[0])
    for value in values:
        if spelled := _spelled(value):
            raise mismatch(distribution.to_json(), "a number", spelled)
        if _kind(value) != kind:
            expected = f"{kind} alone" if default is None else f"{kind}, as the method's default is"
            raise mismatch(distribution.to_json(), expected)


def _kind(value: Scalar) -> str:
    return "true or false" if isinstance(value, bool) else "texts" if isinstance(value, str) else "numbers"


def _hint(value: Scalar, domain: Number) -> str:
    if isinstance(value, bool):
        return "(true and false are no numbers)"
    if domain.whole and isinstance(value, float) and value.is_integer():
        return f"(write {value:.0f})"
    return _spelled(value)


def _spelled(value: Scalar) -> str:
    """A hint for writing the number that a text spells; empty if it spells none."""
    if not isinstance(value, str):
        return ""
    plain = _DASHES.sub("-", value).replace("_", "").replace(" ", "")
    try:
        number = float(plain)
    except ValueError:
        return ""
    if not math.isfinite(number):
        return ""
    return f"(leave out the quotes: {shorten(plain)})" if plain == value else f"(write {shorten(plain)})"
