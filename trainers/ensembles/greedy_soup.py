"""The greedy soup: averages the weights of a search's configurations, skipping those that lower its score."""

from __future__ import annotations

import math
from collections.abc import Generator

from flyp_sweep.trainers.ensembles.base import Members, Soup
from flyp_sweep.trainers.ensembles.wise_ft import State
from flyp_sweep.trainers.evaluation.metrics import Scores
from flyp_sweep.trainers.spec import Epoch
from flyp_sweep.trainers.training.fitted import Fitted, point, report


class GreedySoup(Soup):
    """The mean of the weights of the members that do not lower its score on `id_val` (Wortsman et al., 2022, Recipe 1).

    The best member comes first, so the soup never scores below it. On a tie, the member is taken, as in Recipe 1; the
    authors' code leaves it out, see `greedy_soup_strict`. Each member has a report; its point of the curve holds the
    score of the soup with the member, and whether it was `taken`.
    """

    name = "greedy_soup"
    summary = "mean of the configurations, best first, that do not lower the score on ID validation data"
    tries_members = True

    def admits(self, score: float, best: float) -> bool:
        """Whether to take a member: `score` is the soup's score with it, `best` the score without it."""
        return score >= best

    def combine(self, members: Members) -> Generator[Epoch, None, Fitted]:
        soup: State = {}
        best: Scores | None = None
        taken, last, curve = 0, 0, []
        for number, member in enumerate(members.specs, start=1):
            state = yield from members.weights(member)
            tried = members.mixed(soup, state, 1 / (taken + 1)) if soup else state
            scores = members.scores(tried)
            is_finite = math.isfinite(scores.loss)
            is_taken = best is None or (is_finite and self.admits(scores.score, best.score))
            if is_taken or best is None:
                soup, best, taken, last = tried, scores, taken + 1, number
            if is_finite:
                curve.append(point(number, scores, taken=float(is_taken)))
            yield report(number, best, last, curve, members.notes)
        assert best is not None, "an ensemble has a member"
        return Fitted(soup, best, report(len(members.specs), best, last, curve, members.notes), soup)
