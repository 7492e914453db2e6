"""How many trials run at once: as many as there are cores or GPUs for, and memory, as trials were measured to take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from flyp_sweep.orchestrator.engine.memory import NOTHING, Memory
from flyp_sweep.orchestrator.engine.nodes import Node
from flyp_sweep.search_spaces.cell import Cell
from flyp_sweep.search_spaces.model import Resources
from flyp_sweep.trainers.spec import TrialSpec

MARGIN = 1.05
"""What trials are given of memory for every byte that the largest of their kind took."""
DIGITS = 4
"""Binary digits to which that is rounded up: workers go on with trials that are given the same, with no others."""
SHARES = (2, 4, 8, 16)
"""How many trials may have a GPU together: few numbers, for the same reason."""

Kind = tuple[str, str]
Request = dict[str, float]
"""A resource, as Ray calls it -> how much."""


class Packing:
    """What each trial is given of a node.

    Trials of one method and model are of one kind. The first ones get `wanted`, and no more of them start than have
    room for that, until one has told what it takes (after an epoch, or at its end). Where cores or GPUs would take more
    trials than there is memory for, they are given memory besides; and with `sharing` a GPU takes 2, 4, 8 or 16 trials
    where their memory fits. A kind that ran short of memory is given twice as much, and a GPU of its own.

    Nothing here changes a result: a trial computes with the same threads, whoever is beside it.
    """

    def __init__(
        self,
        wanted: Resources,
        nodes: Sequence[Node],
        *,
        sharing: bool = False,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.wanted = wanted
        self.nodes = [node for node in nodes if node.has(wanted)]
        self.slots = sum(node.slots(wanted.cpu, wanted.gpu) for node in self.nodes)
        """Trials that run at once as far as cores and GPUs go."""
        self.sharing = sharing and wanted.gpu == 1
        self._say = say
        self._taken: dict[Kind, Memory] = {}
        self._short: set[Kind] = set()
        self._unknown: Counter[Kind] = Counter()
        self._given: dict[str, Request] = {}
        self._said: dict[Kind, int] = {}

    def give(self, spec: TrialSpec) -> Request | None:
        """What this trial is given, which is about to start; None when it has to wait for others of its kind."""
        kind = kind_of(spec.cell)
        if kind not in self._taken:
            if self._unknown[kind] >= self.slots:
                return None
            self._unknown[kind] += 1
        given = self._request(kind)
        self._given[spec.trial_id] = given
        return given

    def took(self, spec: TrialSpec, memory: Memory) -> None:
        """Take in what a trial has taken so far."""
        kind, given = kind_of(spec.cell), self._given.get(spec.trial_id)
        if given is not None and given["GPU"] < self.wanted.gpu:
            memory = replace(memory, gpu=None)  # others on the same GPU are in the number too
        self.know(kind, memory)

    def know(self, kind: Kind, memory: Memory) -> None:
        """Take in what a trial of this kind has taken, now or in an earlier run."""
        before = self._taken.get(kind, NOTHING)
        self._taken[kind] = before.or_more(memory)
        self._tell(kind)

    def ran_short(self, spec: TrialSpec) -> None:
        """Take in that a trial was ended for want of memory, or may have been."""
        self._short.add(kind_of(spec.cell))

    def ended(self, spec: TrialSpec) -> None:
        """Take in that a trial runs no more."""
        self._given.pop(spec.trial_id, None)
        if self._unknown[kind_of(spec.cell)]:
            self._unknown[kind_of(spec.cell)] -= 1

    def _request(self, kind: Kind) -> Request:
        cpu, gpu = self.wanted.cpu, self.wanted.gpu
        if self.sharing:
            share = self._share(kind)
            cpu, gpu = max(1, cpu // share), 1 / share
        given = {"CPU": cpu, "GPU": gpu}
        host = self._host(kind)
        if any(node.memory < host * node.slots(cpu, gpu) for node in self.nodes):
            given["memory"] = min(host, max(node.memory for node in self.nodes))
        return given

    def _host(self, kind: Kind) -> float:
        """Bytes of a node's memory for a trial; 0 where none are known of."""
        taken = self._taken.get(kind, NOTHING).host
        if taken is not None:
            needed = MARGIN * taken * self.wanted.world
        else:  # it ended before it could tell
            needed = min((node.memory / node.slots(self.wanted.cpu, self.wanted.gpu) for node in self.nodes), default=0)
            needed *= kind in self._short
        return rounded_up(2 * needed if kind in self._short else needed)

    def _share(self, kind: Kind) -> int:
        """How many trials a GPU takes."""
        taken = self._taken.get(kind, NOTHING)
        if kind in self._short or not taken.gpu or not taken.gpu_total:
            return 1
        room = taken.gpu_total / (MARGIN * taken.gpu)
        return max((share for share in SHARES if share <= min(room, self.wanted.cpu)), default=1)

    def _tell(self, kind: Kind) -> None:
        """Say how many trials of this kind run at once, where that is not what cores and GPUs alone would take."""
        given = self._request(kind)
        at_once = sum(node.slots(given["CPU"], given["GPU"], given.get("memory", 0)) for node in self.nodes)
        if at_once != self._said.get(kind, self.slots):
            self._said[kind] = at_once
            taken = self._taken[kind]
            sizes = [(taken.gpu if self.sharing else None, "GPU memory"), (taken.host, "memory")]
            told = " and ".join(f"{size / 1e9:.1f} GB of {what}" for size, what in sizes if size)
            self._say(f"a trial of {kind[0]} with {kind[1]} takes {told}: {at_once} at once")


def kind_of(cell: Cell) -> Kind:
    """Trials of one kind take about the same."""
    return cell.method, cell.model


def rounded_up(size: float) -> int:
    """The next number of bytes that has few binary digits."""
    step = 1 << max(0, int(size).bit_length() - DIGITS)
    return -(-int(size) // step) * step
