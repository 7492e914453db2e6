"""The uniform soup: the mean of the weights of all configurations of a search."""

from __future__ import annotations

from collections.abc import Generator

from flyp_sweep.trainers.ensembles.base import Members, Soup
from flyp_sweep.trainers.ensembles.wise_ft import State
from flyp_sweep.trainers.spec import Epoch
from flyp_sweep.trainers.training.fitted import Fitted


class UniformSoup(Soup):
    """The mean of the weights of all members (Wortsman et al., 2022, Table 2)."""

    name = "uniform_soup"
    summary = "mean of the weights of all configurations of a search, one soup per search seed"

    def combine(self, members: Members) -> Generator[Epoch, None, Fitted]:
        soup: State = {}
        for count, member in enumerate(members.specs, start=1):
            state = yield from members.weights(member)
            soup = members.mixed(soup, state, 1 / count) if soup else state
        fitted = members.fitted(soup)
        yield fitted.report
        return fitted
