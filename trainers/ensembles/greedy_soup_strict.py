"""The greedy soup as its authors' code makes it: of those configurations of a search that raise its score."""

from __future__ import annotations

from flyp_sweep.trainers.ensembles.greedy_soup import GreedySoup


class StrictGreedySoup(GreedySoup):
    """As `GreedySoup`, but a member that leaves the score as it was is left out, as in its authors' code.

    Source: `main.py` of github.com/mlfoundations/model-soups.
    """

    name = "greedy_soup_strict"
    summary = "as greedy_soup, of those that raise the score on ID validation data, as in the authors' code"

    def admits(self, score: float, best: float) -> bool:
        return score > best
