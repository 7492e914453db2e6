"""What is seen of data sets, as lines of a terminal: no pictures, at most 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from flyp_sweep.orchestrator.data_views.look import Looked
from flyp_sweep.orchestrator.data_views.words import balance, head, looked, role, sizes
from flyp_sweep.search_spaces.complaints import counted, one_line
from flyp_sweep.trainers.overview.facts import DatasetOverview, SplitOverview

WIDTH = 80
BAR = 30
LONGEST_NAME = 24
EACH = 3
"""One in so many of the examples is told; the page shows all."""


def lines(seen: Looked) -> Iterator[str]:
    """The look at all data sets, line by line."""
    yield from _wrapped(f"as seen by {seen.eyes}")
    if seen.others:
        yield from _wrapped(seen.others)
    for dataset in seen.datasets:
        yield ""
        yield from _dataset(dataset)


def _dataset(found: DatasetOverview) -> Iterator[str]:
    yield from _wrapped(f"data set {found.name}: {head(found)}")
    for line in found.rules:
        yield from _wrapped(line, "  ")
    for line in found.wrong:
        yield from _wrapped(f"error: {line}", "  ")
    for split in found.splits:
        yield ""
        yield from _split(split)
    yield ""
    nothing = f" nothing{'' if found.is_whole else ' in what was looked at'}"
    yield f"suspicious:{'' if found.suspicious else nothing}"
    for line in found.suspicious:
        yield from _wrapped(f"- {line}", "  ")


def _split(split: SplitOverview) -> Iterator[str]:
    named = f"{split.name} ({role(split)})" if role(split) else split.name
    if split.problem:
        yield from _wrapped(f"{named}: cannot be shown: {split.problem}")
        return
    published = f", {split.published:,} as published" if split.published not in (None, split.images) else ""
    yield f"{named}: {counted(split.images, 'image')}{published}"
    yield from _wrapped(f"sizes: {sizes(split)}", "  ")
    yield from _wrapped(f"looked at: {looked(split)}", "  ")
    yield from _bars(split)
    yield "  examples:"
    for example in split.examples[::EACH]:
        problem = f" CANNOT BE DECODED: {example.problem}" if example.problem else ""
        yield from _wrapped(f"{example.file}: {example.label}, {example.text!r}{problem}", "    ")


def _bars(split: SplitOverview) -> Iterator[str]:
    shown, between = balance(split)
    most = max((count for _, count in shown), default=0)
    names = [_short(name) for name, _ in shown]
    width = max(map(len, names), default=0)
    for at, (name, (_, count)) in enumerate(zip(names, shown, strict=True)):
        if between and at == len(shown) // 2:
            yield f"    ... {between} more classes in between"
        yield f"    {name.ljust(width)} {count:>9,} {'#' * _length(count, most)}".rstrip()


def _length(count: int, most: int) -> int:
    """Of the bar of a class; one with images has a bar."""
    return max(round(BAR * count / most), 1) if count else 0


def _short(name: str) -> str:
    told = one_line(name)
    return told if len(told) <= LONGEST_NAME else f"{told[: LONGEST_NAME - 3]}..."


def _wrapped(text: str, indent: str = "") -> Sequence[str]:
    """`text` in lines; paths and addresses stay whole, so that they can be copied."""
    return textwrap.wrap(
        one_line(text),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
