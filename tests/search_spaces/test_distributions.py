"""Distributions: drawn within their range, listed for grids, refused when they make no sense."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyp_sweep.search_spaces.complaints import FieldError
from flyp_sweep.search_spaces.distributions import Choice, Constant, Distribution, IntRange, LogUniform, Uniform, parse
from flyp_sweep.search_spaces.errors import InputError


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"loguniform": [1e-6, 1]}, LogUniform(1e-6, 1.0)),
        ({"uniform": [0, 0.5]}, Uniform(0.0, 0.5)),
        ({"int": [1, 3]}, IntRange(1, 3)),
        ({"choice": ["a", True, 2]}, Choice(("a", True, 2))),
        (0.1, Constant(0.1)),
        ("cosine", Constant("cosine")),
        (False, Constant(False)),
    ],
)
def test_every_kind_is_read_and_written(raw: object, expected: Distribution) -> None:
    assert parse(raw) == expected
    assert parse(expected.to_json()) == expected


def test_whole_numbers_beside_fractions_become_floats() -> None:
    options = parse({"choice": [0, 0.1]}).values()
    assert [type(option) for option in options] == [float, float]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"loguniform": [0.1, 0.001]}, "found {loguniform: [0.1, 0.001]}; expected low < high (write [0.001, 0.1])"),
        ({"uniform": [2, 2]}, "found {uniform: [2, 2]}; expected low < high (for a fixed value write 2)"),
        ({"loguniform": [0, 1]}, "expected low > 0, as a logarithm needs it (or write {uniform: [low, high]})"),
        ({"loguniform": [-1, 1]}, "expected low > 0"),
        ({"uniform": [0, math.inf]}, "found {uniform: [0, inf]}; expected two finite numbers"),
        ({"uniform": [math.nan, 1]}, "expected two finite numbers"),
        ({"uniform": [False, True]}, "found {uniform: [false, true]}; expected two finite numbers"),
        ({"uniform": [1]}, "expected two finite numbers"),
        ({"uniform": ["0", 1]}, "found {uniform: ['0', 1]}; expected two finite numbers"),
        ({"uniform": None}, "expected two finite numbers"),
        ({"uniform": [-1.7e308, 1.7e308]}, "a finite difference between them"),
        ({"uniform": [0, 10**400]}, "expected numbers that a 64-bit float can hold"),
        ({"int": [0.5, 2]}, "expected two whole numbers, as in {int: [1, 8]}"),
        ({"int": [0, 10**16]}, "expected numbers between"),
        ({"choice": []}, "expected a list of at least one number, text or true/false"),
        ({"choice": [[1]]}, "expected a list of at least one number"),
        ({"choice": [None]}, "expected a list of at least one number"),
        ({"choice": [1, 1.0]}, "expected every choice once"),
        (
            {"logunifrm": [1, 2]},
            "expected a mapping with one key: loguniform, uniform, int or choice (did you mean 'lo",
        ),
        ({"uniform": [1, 2], "int": [1, 2]}, "expected a mapping with one key"),
        ({}, "found {}; expected a mapping with one key"),
        ([0.1, 0.2], "(write {choice: [0.1, 0.2]})"),
        ([[1]], "found [[1]]; expected a finite number, a text, true/false or a mapping"),
        (None, "found nothing; expected a finite number, a text, true/false or a mapping"),
        (10**400, "found 0x"),
        ("x" * 1000, "expected a finite number, a text, true/false or a mapping"),
        (math.nan, "found nan; expected a finite number, a text, true/false or a mapping"),
    ],
)
def test_nonsense_is_refused(raw: object, message: str) -> None:
    with pytest.raises(FieldError) as caught:
        parse(raw)
    assert message in str(caught.value)


@pytest.mark.parametrize("raw", [{"uniform": [0, 1]}, {"loguniform": [0.1, 1]}])
def test_a_continuous_range_has_no_list_of_values(raw: object) -> None:
    distribution = parse(raw)
    assert distribution.count is None
    with pytest.raises(InputError, match="a grid cannot list a continuous range"):
        distribution.values()


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.sampled_from(["uniform", "loguniform"]), finite, finite, st.integers())
def test_draws_stay_in_range(kind: str, one: float, other: float, seed: int) -> None:
    low, high = sorted((one, other))
    try:
        distribution = parse({kind: [low, high]})
    except FieldError:
        return
    assert low <= distribution.draw(random.Random(seed)) <= high  # type: ignore[operator]


def test_int_range_includes_both_ends_evenly() -> None:
    rng = random.Random(0)
    counts = Counter(IntRange(-1, 2).draw(rng) for _ in range(4000))
    assert sorted(counts) == [-1, 0, 1, 2]
    assert min(counts.values()) > 900


def test_loguniform_is_even_in_orders_of_magnitude() -> None:
    rng = random.Random(0)
    draws = [LogUniform(1e-6, 1e-2).draw(rng) for _ in range(4000)]
    assert sum(draw < 1e-4 for draw in draws) / len(draws) == pytest.approx(0.5, abs=0.03)
