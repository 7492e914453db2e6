"""What stands under every table: the facts by which its numbers can be checked, all from the ledger."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from flyp_sweep.results.analysis.cells import CellResult
from flyp_sweep.results.statistics.intervals import INTERVALS
from flyp_sweep.results.statistics.paired import TESTS
from flyp_sweep.results.statistics.two_ways import SEEDS_AND_EXAMPLES, TITLE
from flyp_sweep.results.tables.options import TableOptions
from flyp_sweep.search_spaces.complaints import counted

_NAMED_AT_MOST = 6
_HASH_DIGITS = 12
_FOLD = re.compile(r"(: fold )\d+(?= of )")
_FOLD_OF_NAME = re.compile(r"(-fold)\d+$")


def audit_lines(
    cells: Sequence[CellResult], options: TableOptions, comparisons: int | None = None, control: str = ""
) -> tuple[str, ...]:
    """Selection, configurations and seeds of the cells; rules of splits; statistics; pretraining; packages and ledgers.

    `comparisons` is left out where methods are not compared; `control` is the method that all are compared with.
    """
    selected = [cell for cell in cells if cell.selection]
    lines = [
        f"Selection saw {_seen(cells)} and loss alone. Searched: {_grouped(selected, _searched)}. "
        f"Seeds: {_grouped(selected, _seeds)}."
        if selected
        else "Nothing is selected yet.",
        *_split_rules(selected),
        f"{_intervals(cells, options)}{_tests(options, comparisons, control)}.",
        f"{_pretraining(selected)}{_versions(cells)}Ledger: {_ledgers(cells)}.",
    ]
    return tuple(lines)


def _split_rules(cells: Sequence[CellResult]) -> list[str]:
    """How splits were made and are scored, where that is a choice."""
    told: dict[str, dict[str, None]] = {}
    for cell in cells:
        for rule in cell.selection.split_rules if cell.selection else ():
            told.setdefault(rule, {})[cell.cell.dataset] = None
    every = {cell.cell.dataset for cell in cells}
    lines = [
        rule if len(of) == len(every) else f"{rule} ({', '.join(of)})" for rule, of in _folds_together(told).items()
    ]
    return [f"Splits: {'; '.join(lines)}."] if lines else []


def _folds_together(told: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Rules that differ in the number of a fold alone are one, which speaks of fold k, with the names of the data sets
    likewise."""
    joined: dict[str, list[tuple[str, Iterable[str]]]] = {}
    for rule, names in told.items():
        joined.setdefault(_FOLD.sub(r"\1k", rule), []).append((rule, names))
    found: dict[str, list[str]] = {}
    for shared, held in joined.items():
        if len(held) == 1:
            ((rule, names),) = held
            found[rule] = list(names)
        else:
            found[shared] = list(dict.fromkeys(_FOLD_OF_NAME.sub(r"\1k", name) for _, names in held for name in names))
    return found


def _intervals(cells: Sequence[CellResult], options: TableOptions) -> str:
    if options.interval == SEEDS_AND_EXAMPLES:
        return f"{100 * options.confidence:g}% {TITLE}"
    if all(cell.n < 2 for cell in cells):
        return "No intervals"
    return f"{100 * options.confidence:g}% {INTERVALS[options.interval]} intervals"


def _tests(options: TableOptions, comparisons: int | None, control: str) -> str:
    if not comparisons:
        return "" if comparisons is None else "; no test"
    correction = "Holm" if options.correction == "holm" else "not corrected"
    other = control or ("the best of a column" if comparisons > 1 else "the best of its column")
    return f"; {TESTS[options.test].title}, {counted(comparisons, 'comparison')} with {other} ({correction})"


def trace_lines(cells: Sequence[CellResult]) -> tuple[str, ...]:
    """The trials behind every cell: `digits/ViT/full/ft (run quickstart): seed 0 0123456789abcdef, ...`."""
    return tuple(
        f"{cell.cell.key} (run {cell.run}): "
        + (", ".join(f"seed {trial.seed} {trial.trial_id}" for trial in cell.repeats.done) or cell.state)
        for cell in cells
    )


def _seen(cells: Sequence[CellResult]) -> str:
    """What selection saw besides the loss, e.g. `id_val accuracy`."""
    seen = {(cell.selection.split, cell.selection.metric) for cell in cells if cell.selection}
    return " / ".join(sorted(f"{split} {metric.replace('_', ' ') or 'primary metric'}" for split, metric in seen))


def _searched(cell: CellResult) -> str:
    assert cell.selection
    configs, seeds = cell.selection.configs, cell.selection.seeds
    if not configs:
        return "nothing"
    return f"{counted(configs, 'configuration')} x {counted(seeds, 'seed')}"


def _seeds(cell: CellResult) -> str:
    return f"{cell.n} of {cell.planned}"


def _grouped(cells: Sequence[CellResult], say: Callable[[CellResult], str]) -> str:
    """What is said of the cells, each saying with the cells it is true of: by method, or counted."""
    groups: dict[str, list[CellResult]] = {}
    for cell in cells:
        groups.setdefault(say(cell), []).append(cell)
    return ", ".join(f"{said} ({_cells(held)})" for said, held in groups.items())


def _cells(cells: Sequence[CellResult]) -> str:
    blocks = {(cell.cell.dataset, cell.cell.model, cell.cell.shots) for cell in cells}
    methods = list(dict.fromkeys(cell.label for cell in cells))
    if len(methods) > _NAMED_AT_MOST:
        return f"{len(cells)} cells"
    names = ", ".join(methods)
    return names if len(blocks) == 1 else f"{len(cells)} cells of {names}"


def _pretraining(cells: Sequence[CellResult]) -> str:
    """The loss that the model was pretrained with, which FLYP continues."""
    models: dict[str, list[str]] = {}
    for cell in cells:
        if cell.selection and cell.selection.objective:
            own = models.setdefault(cell.selection.objective, [])
            own += [] if cell.cell.model in own else [cell.cell.model]
    told = [f"{loss} ({', '.join(own)})" if len(models) > 1 else loss for loss, own in models.items()]
    return f"Pretraining: {'; '.join(told)}. " if told else ""


def _versions(cells: Sequence[CellResult]) -> str:
    held: dict[str, list[str]] = {}
    distinct: dict[int, Mapping[str, str]] = {
        id(trial.versions): trial.versions for cell in cells for trial in cell.repeats.done
    }
    for versions in distinct.values():
        for name, version in versions.items():
            own = held.setdefault(name, [])
            own += [] if version in own else [version]
    named = ", ".join(f"{name} {' / '.join(own)}" for name, own in held.items())
    return f"Made with {named}. " if held else ""


def _ledgers(cells: Sequence[CellResult]) -> str:
    hashes = {cell.run: cell.sha256 for cell in cells}
    return ", ".join(f"{run} {_hash(sha256)}" for run, sha256 in hashes.items()) or "empty"


def _hash(sha256: str) -> str:
    return f"sha256 {sha256[:_HASH_DIGITS]}" if sha256 else "(in memory)"
