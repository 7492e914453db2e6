"""Times in words, and the time of day as files hold it: UTC, in ISO form, to the second."""

from __future__ import annotations

from datetime import UTC, datetime


def duration(seconds: float) -> str:
    """E.g. `8 s`, `3 min 20 s`, `1 h 05 min`, `2 d 3 h`."""
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    days, left = divmod(hours, 24)
    if days:
        return f"{days} d {left} h"
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def time_left(seconds: float | None, *, at_least: bool = False) -> str:
    """E.g. `about 3 min 20 s left`, `at least 3 min 20 s left`; None: nothing is known before the first epoch ends."""
    if seconds is None:
        return "time left known after the first epoch"
    return f"{'at least' if at_least else 'about'} {duration(seconds)} left"


def utc_now() -> str:
    """The time in UTC in ISO form, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def seconds_ago(time: str) -> float:
    """The seconds since a UTC time in ISO form, by this machine's clock; at least 0."""
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds())
