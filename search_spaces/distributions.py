"""What a hyper-parameter is drawn from.

In YAML: `{loguniform: [low, high]}`, `{uniform: [low, high]}`, `{int: [low, high]}`, `{choice: [..]}` or a fixed value.
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from flyp_sweep.search_spaces.complaints import FieldError, is_text, mismatch, one_of, show
from flyp_sweep.search_spaces.errors import InputError, nearest

Scalar = str | bool | int | float

LARGEST_INT = 10**15
"""Bound of whole numbers: wider ranges could not be drawn evenly from one 53-bit random number."""


class Distribution(ABC):
    """The values that one hyper-parameter may take. Draws use `rng.random()` alone.

    It is the one method of `random.Random` whose sequence Python promises to keep between versions.
    """

    @property
    @abstractmethod
    def count(self) -> int | None:
        """How many values there are, None for a continuous range."""

    @abstractmethod
    def draw(self, rng: random.Random) -> Scalar:
        """One value at random."""

    @abstractmethod
    def values(self) -> list[Scalar]:
        """All values in order, for a grid. Raises InputError for a continuous range."""

    @abstractmethod
    def holds(self, value: object) -> bool:
        """Whether `value` may be drawn."""

    def like(self, value: Scalar) -> Scalar:
        """`value` as it would be drawn: a whole number is a float where all that is drawn are floats."""
        return value

    @abstractmethod
    def to_json(self) -> Any:
        """What `parse` reads back to an equal distribution."""


@dataclass(frozen=True)
class Constant(Distribution):
    """One fixed value."""

    value: Scalar

    @property
    def count(self) -> int:
        return 1

    def draw(self, rng: random.Random) -> Scalar:
        return self.value

    def values(self) -> list[Scalar]:
        return [self.value]

    def holds(self, value: object) -> bool:
        return value == self.value

    def to_json(self) -> Scalar:
        return self.value


@dataclass(frozen=True)
class Choice(Distribution):
    """One of a few values, each as likely. Numbers are all floats when one of them is: 0 and 0.0 are one value."""

    options: tuple[Scalar, ...]

    @property
    def count(self) -> int:
        return len(self.options)

    def draw(self, rng: random.Random) -> Scalar:
        return self.options[int(rng.random() * len(self.options))]

    def values(self) -> list[Scalar]:
        return list(self.options)

    def holds(self, value: object) -> bool:
        return value in self.options

    def like(self, value: Scalar) -> Scalar:
        is_float = all(isinstance(option, float) for option in self.options)
        return float(value) if is_float and is_number(value) else value

    def to_json(self) -> dict[str, list[Scalar]]:
        return {"choice": list(self.options)}


@dataclass(frozen=True)
class IntRange(Distribution):
    """A whole number from low to high, both included, each as likely."""

    low: int
    high: int

    @property
    def count(self) -> int:
        return self.high - self.low + 1

    def draw(self, rng: random.Random) -> int:
        return min(self.low + int(rng.random() * self.count), self.high)

    def values(self) -> list[Scalar]:
        return list(range(self.low, self.high + 1))

    def holds(self, value: object) -> bool:
        return isinstance(value, int) and self.low <= value <= self.high

    def to_json(self) -> dict[str, list[int]]:
        return {"int": [self.low, self.high]}


@dataclass(frozen=True)
class _Continuous(Distribution):
    low: float
    high: float

    @property
    def count(self) -> None:
        return None

    def values(self) -> list[Scalar]:
        raise InputError(str(endless(self)))

    def holds(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    def like(self, value: Scalar) -> Scalar:
        return float(value) if is_number(value) else value


@dataclass(frozen=True)
class Uniform(_Continuous):
    """A number from low to high, each as likely."""

    def draw(self, rng: random.Random) -> float:
        return min(self.low + (self.high - self.low) * rng.random(), self.high)

    def to_json(self) -> dict[str, list[float]]:
        return {"uniform": [self.low, self.high]}


@dataclass(frozen=True)
class LogUniform(_Continuous):
    """A positive number from low to high whose logarithm is uniform."""

    def draw(self, rng: random.Random) -> float:
        low, high = math.log(self.low), math.log(self.high)
        return min(max(math.exp(low + (high - low) * rng.random()), self.low), self.high)

    def to_json(self) -> dict[str, list[float]]:
        return {"loguniform": [self.low, self.high]}


def endless(distribution: Distribution) -> FieldError:
    """The complaint about a continuous range where a grid needs a list of values."""
    return mismatch(
        distribution.to_json(), "a choice, an int range or a fixed value: a grid cannot list a continuous range"
    )


def parse(raw: object) -> Distribution:
    """The distribution that a search space spells out as `raw`.

    Raises FieldError for an unknown kind, an empty or inverted range, a loguniform that is not positive, NaN, infinity.
    """
    if isinstance(raw, Distribution):
        return raw
    if isinstance(raw, Mapping):
        return _parse_kind(raw)
    if _is_scalar(raw):
        return Constant(raw)
    hint = f"(write {{choice: {show(raw)}}})" if isinstance(raw, list | tuple) and raw else ""
    raise mismatch(raw, f"a finite number, a text, true/false or a mapping with one key: {one_of(_KINDS)}", hint)


def scalar(raw: object) -> Scalar:
    """`raw`, once it is a single value of a hyper-parameter. Raises FieldError for anything else."""
    if not _is_scalar(raw):
        raise mismatch(raw, "a finite number, a text or true/false")
    return raw


def _parse_kind(raw: Mapping[Any, Any]) -> Distribution:
    kind = next(iter(raw), None)
    if len(raw) != 1 or kind not in _KINDS:
        hint = nearest(str(kind), _KINDS) if len(raw) == 1 else ""
        raise mismatch(raw, f"a mapping with one key: {one_of(_KINDS)}", hint)
    return _KINDS[kind](raw, raw[kind])


def _parse_choice(raw: Mapping[str, Any], options: object) -> Choice:
    if not isinstance(options, list | tuple) or not options or not all(map(_is_scalar, options)):
        raise mismatch(raw, "a list of at least one number, text or true/false, as in {choice: [0.0, 0.1]}")
    numbers = [option for option in options if is_number(option)]
    if len(numbers) == len(options) and any(isinstance(number, float) for number in numbers):
        options = [_as_float(raw, number) for number in numbers]
    if len({(isinstance(option, bool), option) for option in options}) < len(options):
        raise mismatch(raw, "every choice once")
    return Choice(tuple(options))


def _parse_int(raw: Mapping[str, Any], bounds: object) -> IntRange:
    low, high = _bounds(raw, bounds)
    if not isinstance(low, int) or not isinstance(high, int):
        raise mismatch(raw, "two whole numbers, as in {int: [1, 8]}")
    if max(abs(low), abs(high)) > LARGEST_INT:
        raise mismatch(raw, f"numbers between {-LARGEST_INT} and {LARGEST_INT}")
    return IntRange(low, high)


def _parse_uniform(raw: Mapping[str, Any], bounds: object) -> Uniform:
    low, high = (_as_float(raw, bound) for bound in _bounds(raw, bounds))
    if not low < high or not math.isfinite(high - low):
        raise mismatch(raw, "bounds that differ as floating-point numbers and a finite difference between them")
    return Uniform(low, high)


def _parse_loguniform(raw: Mapping[str, Any], bounds: object) -> LogUniform:
    low, high = (_as_float(raw, bound) for bound in _bounds(raw, bounds))
    if low <= 0:
        raise mismatch(raw, "low > 0, as a logarithm needs it", "(or write {uniform: [low, high]})")
    if not math.log(low) < math.log(high):
        raise mismatch(raw, "bounds whose logarithms differ as floating-point numbers")
    return LogUniform(low, high)


def _bounds(raw: Mapping[str, Any], bounds: object) -> tuple[int | float, int | float]:
    """Two finite numbers, the lower first."""
    if not isinstance(bounds, list | tuple) or len(bounds) != 2 or not all(map(is_number, bounds)):
        raise mismatch(raw, "two finite numbers, as in {uniform: [0.0, 0.5]}")
    low, high = bounds
    if low > high:
        raise mismatch(raw, "low < high", f"(write {show([high, low])})")
    if low == high:
        raise mismatch(raw, "low < high", f"(for a fixed value write {show(low)})")
    return low, high


def _as_float(raw: Mapping[str, Any], number: int | float) -> float:
    try:
        return float(number)
    except OverflowError:
        raise mismatch(raw, "numbers that a 64-bit float can hold") from None


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether `value` is a finite number; true and false are none."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and (isinstance(value, int) or math.isfinite(value))
    )


def _is_scalar(value: object) -> TypeGuard[Scalar]:
    if isinstance(value, str):
        return is_text(value)
    return isinstance(value, bool) or (is_number(value) and (isinstance(value, float) or abs(value) <= LARGEST_INT))


_KINDS: dict[str, Callable[[Mapping[str, Any], object], Distribution]] = {
    "loguniform": _parse_loguniform,
    "uniform": _parse_uniform,
    "int": _parse_int,
    "choice": _parse_choice,
}
