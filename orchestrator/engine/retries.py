"""Trials that are started again after their worker died: how often, and after what pause."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable

from flyp_sweep.search_spaces.sections import Failures
from flyp_sweep.trainers.spec import TrialSpec

LONGEST_PAUSE_SECONDS = 300.0


class Retries:
    """Counts the failures of each trial and says when it may start again. It lives in the driver and is not kept."""

    def __init__(self, settings: Failures, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self.clock = clock
        self._streaks: dict[str, tuple[int, int]] = {}
        """Trial -> its failures in a row, and the furthest epoch that any attempt has reached."""
        self._waiting: list[tuple[float, int, TrialSpec]] = []
        self._order = 0

    def again(self, spec: TrialSpec, epoch: int) -> float | None:
        """Take in that an attempt failed after `epoch`; returns the pause in seconds, None when it was the last one.

        An attempt that got further than all before it starts the count anew: the failure was not the trial's own.
        """
        failures, furthest = self._streaks.get(spec.trial_id, (0, 0))
        failures = 1 if epoch > furthest else failures + 1
        self._streaks[spec.trial_id] = failures, max(epoch, furthest)
        if failures > self.settings.max_failures:
            return None
        pause = min(LONGEST_PAUSE_SECONDS, self.settings.backoff_seconds * 2 ** (failures - 1))
        self._order += 1
        heapq.heappush(self._waiting, (self.clock() + pause, self._order, spec))
        return pause

    def due(self) -> TrialSpec | None:
        """A trial whose pause is over, the one that has waited longest; None when there is none."""
        if self._waiting and self._waiting[0][0] <= self.clock():
            return heapq.heappop(self._waiting)[2]
        return None

    def failures(self, spec: TrialSpec) -> int:
        """Failures of the trial in a row."""
        return self._streaks.get(spec.trial_id, (0, 0))[0]
