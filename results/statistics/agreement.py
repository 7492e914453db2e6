"""Whether a number of ours and one in print can be the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import special

from flyp_sweep.results.statistics.intervals import Interval, mean_interval


@dataclass(frozen=True)
class Printed:
    """A printed mean over `n` seeds, with the half-width of its 95% interval (NaN where there is none).

    `unit` is one in the last printed digit, e.g. 0.001 for 95.1%; all are fractions.
    """

    mean: float
    half_width: float
    n: int
    unit: float


@dataclass(frozen=True)
class Agreement:
    """Ours minus theirs with its interval, and whether the two are compatible; None where that cannot be judged."""

    difference: Interval
    compatible: bool | None


def agreement(ours: Sequence[float], theirs: Printed, confidence: float = 0.95) -> Agreement:
    """Welch's comparison of our seeds (values, one per seed) with a printed mean.

    d = mean(ours) - theirs; its standard error is sqrt(s^2 / n + e^2), e being the printed half-width over
    t_{m-1, 0.975} with m printed seeds; the degrees of freedom are those of Welch and Satterthwaite, "The
    generalization of Student's problem", Biometrika 34 (1947). What rounding may have taken, half a unit of the last
    digit, is granted to the printed half-width and added to the interval. Compatible: the interval holds 0. Two numbers
    without spread (the zero-shot model) are compatible when ours rounds to the printed one; with one spread alone
    nothing is judged.
    """
    slack = theirs.unit / 2
    own_interval = mean_interval(ours, confidence=confidence)
    difference = own_interval.mean - theirs.mean
    if math.isnan(theirs.half_width) or len(ours) < 2:
        single = math.isnan(theirs.half_width) and len(ours) < 2
        unknown = Interval(difference, math.nan, math.nan, len(ours), confidence)
        return Agreement(unknown, abs(difference) <= slack * (1 + 1e-9) if single else None)
    degrees = len(ours) - 1
    own = (own_interval.half_width / float(special.stdtrit(degrees, (1 + confidence) / 2))) ** 2
    their = ((theirs.half_width + slack) / float(special.stdtrit(theirs.n - 1, 0.975))) ** 2
    freedom = (own + their) ** 2 / (own**2 / degrees + their**2 / (theirs.n - 1))
    reach = float(special.stdtrit(freedom, (1 + confidence) / 2)) * math.sqrt(own + their) + slack
    interval = Interval(difference, difference - reach, difference + reach, len(ours), confidence)
    return Agreement(interval, abs(difference) <= reach)
