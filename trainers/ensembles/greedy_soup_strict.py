"""The greedy soup of its authors' code: it takes only configurations that raise its score."""

from __future__ import annotations

from flyp_sweep.trainers.ensembles.greedy_soup import GreedySoup


class StrictGreedySoup(GreedySoup):
    """As `GreedySoup`, but a tie leaves the member out, as in the authors' code.

    Source: `main.py` of github.com/mlfoundations/model-soups.
    """

    name = "greedy_soup_strict"
    summary = "as greedy_soup, of those that raise the score on ID validation data, as in the authors' code"

    def admits(self, score: float, best: float) -> bool:
        return score > best
