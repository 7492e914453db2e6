"""How cells are ordered and named wherever a reader sees them: methods, shots, blocks, files."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from flyp_sweep.search_spaces.cell import WITH, Cell

ZEROSHOT = "zeroshot"

# The paper's methods in the order of its tables, as it prints them; the labels of a run's methods are in its ledger.
PAPER_LABELS = {ZEROSHOT: "Zeroshot", "lp": "LP", "ft": "FT", "l2sp": "L2-SP", "lpft": "LP-FT", "flyp": "FLYP"}

_LONGEST_SLUG = 150
"""Characters; file systems take names of 255 bytes."""


def method_label(method: str, recorded: Mapping[str, str]) -> str:
    """How a method is printed: by the label that is `recorded` of it, else as the paper prints it, else by its name.

    The name of an ensemble follows the label of its method, e.g. `FLYP greedy soup`.
    """
    if method in recorded:
        return recorded[method]
    base, _, ensemble = method.partition(WITH)
    label = recorded.get(base) or PAPER_LABELS.get(base, base)
    return f"{label} {ensemble.replace('_', ' ')}" if ensemble else label


def printed_method(method: str, label: str, labels: Mapping[str, str]) -> str:
    """How a method is printed where a user gives `labels` by name; `label` is how it is printed without these.

    An ensemble without a label of its own follows the label of its method.
    """
    base, _, ensemble = method.partition(WITH)
    if method in labels or not ensemble or base not in labels:
        return labels.get(method, label)
    return method_label(method, {base: labels[base]})


def method_order(method: str, others: Sequence[str] = ()) -> tuple[int, str, int, str]:
    """Sort key: the paper's order, then that of `others`, then the alphabet.

    Ensembles follow their method, in the order of `others`, then of the alphabet.
    """
    base, _, ensemble = method.partition(WITH)
    known = [*PAPER_LABELS, *(name for name in others if name not in PAPER_LABELS and WITH not in name)]
    ensembles = ["", *(name.partition(WITH)[2] for name in others)]
    at = ensembles.index(ensemble) if ensemble in ensembles else len(ensembles)
    return (known.index(base) if base in known else len(known), base, at, ensemble)


def shots_label(shots: int | None) -> str:
    """`full` or e.g. `4-shot`."""
    return "full" if shots is None else f"{shots}-shot"


def setting_label(name: str, value: object) -> str:
    """The value of the training setting `name`: None stands for all templates, and for none of anything else."""
    return ("all" if name == "templates" else "none") if value is None else str(value)


def block_order(cell: Cell) -> tuple[str, str, float]:
    """Sort key of a cell's block: dataset, model, then shots upwards with the whole training split last."""
    return (cell.dataset, cell.model, float("inf") if cell.shots is None else cell.shots)


def block_title(dataset: str, model: str, shots: int | None) -> str:
    """E.g. `digits, digits-clip, 4-shot`; of the whole training split nothing is said."""
    return ", ".join([dataset, model] + ([] if shots is None else [shots_label(shots)]))


def slug(*parts: str) -> str:
    """`parts` joined into a name that is safe as a file name and as a LaTeX label; `slugs` makes each different."""
    return "-".join(re.sub(r"[^A-Za-z0-9.]+", "-", part).strip("-.") for part in parts)


def slugs(names: Sequence[tuple[str, ...]]) -> list[str]:
    """A slug per name, each once, also where upper and lower case are one: alike or long ones end in a digest."""
    plain = [slug(*name) for name in names]
    alike = Counter(one.lower() for one in plain)
    seen: Counter[tuple[str, ...]] = Counter()
    unique = []
    for name, one in zip(names, plain, strict=True):
        if alike[one.lower()] > 1 or len(one) > _LONGEST_SLUG:
            digest = hashlib.sha256(repr((name, seen[name])).encode()).hexdigest()[:8]
            one = f"{one[:_LONGEST_SLUG]}-{digest}"
        seen[name] += 1
        unique.append(one)
    return unique
