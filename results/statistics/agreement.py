"""Whether a number of ours and one in print can be the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import special

from flyp_sweep.results.statistics.intervals import Interval, mean_interval

BracketKind = Literal["interval", "deviation"]


@dataclass(frozen=True)
class Printed:
    """A printed mean over `n` seeds with what stands in brackets behind it (NaN where nothing does).

    `kind` says what the brackets hold: the half-width of a 95% interval, or a standard deviation as NumPy's `np.std`
    gives it (divisor n). `unit` is one in the last printed digit, e.g. 0.001 for 95.1%; all are fractions.
    """

    mean: float
    bracket: float
    n: int
    unit: float
    kind: BracketKind = "interval"

    @property
    def error(self) -> float:
        """The standard error of the mean, where the bracket is as large as rounding allows.

        A half-width is read as Student's: t_{n-1, 0.975} errors. A deviation d of divisor n is sqrt(n - 1) errors.
        """
        widest = self.bracket + self.unit / 2
        return widest / (math.sqrt(self.n - 1) if self.kind == "deviation" else _quantile(self.n - 1, 0.95))


@dataclass(frozen=True)
class Agreement:
    """Ours minus theirs with its interval, and whether the two are compatible; None where that cannot be judged."""

    difference: Interval
    compatible: bool | None


def agreement(
    ours: Sequence[float], theirs: Printed, confidence: float = 0.95, *, deterministic: bool = False
) -> Agreement:
    """Welch's comparison of our seeds (values, one per seed) with a printed mean.

    d = mean(ours) - theirs; its standard error is sqrt(s^2 / n + e^2), e being the printed number's own; the degrees of
    freedom are those of Welch and Satterthwaite, "The generalization of Student's problem", Biometrika 34 (1947). What
    rounding may have taken, half a unit of the last digit, is granted to the printed bracket and added to the interval.
    Compatible: the interval holds 0. A `deterministic` number of ours has no error over seeds. Two numbers without
    spread (the zero-shot model) are compatible when ours rounds to the printed one; where only theirs has a spread and
    ours is a single seed, or only ours has one, nothing is judged.
    """
    slack = theirs.unit / 2
    own_interval = mean_interval(ours, confidence=confidence)
    difference = own_interval.mean - theirs.mean
    single = len(ours) < 2
    if math.isnan(theirs.bracket) or (single and not deterministic):
        unknown = Interval(difference, math.nan, math.nan, len(ours), confidence)
        judged = single and math.isnan(theirs.bracket)
        return Agreement(unknown, abs(difference) <= slack * (1 + 1e-9) if judged else None)
    degrees = len(ours) - 1
    own = 0.0 if single else (own_interval.half_width / _quantile(degrees, confidence)) ** 2
    their = theirs.error**2
    freedom = (own + their) ** 2 / ((own**2 / degrees if degrees else 0.0) + their**2 / (theirs.n - 1))
    reach = _quantile(freedom, confidence) * math.sqrt(own + their) + slack
    interval = Interval(difference, difference - reach, difference + reach, len(ours), confidence)
    return Agreement(interval, abs(difference) <= reach)


def _quantile(degrees: float, confidence: float) -> float:
    """Student's two-sided quantile."""
    return float(special.stdtrit(degrees, (1 + confidence) / 2))
