"""Ray Tune's stopper: ends the whole run on request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune import Stopper


class OnRequest(Stopper):
    """Ends the run once `asked()` is true. The scheduler alone stops a trial for its results."""

    def __init__(self, asked: Callable[[], bool]) -> None:
        self.asked = asked

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.asked()

    def __getstate__(self) -> dict[str, Any]:
        return {}  # as for the searcher
