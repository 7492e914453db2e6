"""How cells are ordered and named wherever a reader sees them: methods, shots, blocks, files."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

from flyp_sweep.search_spaces.cell import WITH, Cell
from flyp_sweep.search_spaces.ensembles import ENSEMBLES

ZEROSHOT = "zeroshot"

# The order of the paper's tables.
METHOD_LABELS = {ZEROSHOT: "Zeroshot", "lp": "LP", "ft": "FT", "l2sp": "L2-SP", "lpft": "LP-FT", "flyp": "FLYP"}
# Of Section 5 there, and of other papers.
OTHER_LABELS = {
    "coop": "CoOp",
    "flyp_ce": "FLYP-CE",
    "flyp_frozen_text": "FLYP frozen text",
    "flyp_masked": "FLYP + masking",
    "flyp_plus_ce": "FLYP + CE",
    "flyp_ema": "FLYP EMA",
    "flyp_lora": "FLYP LoRA",
    "tip_adapter": "Tip-Adapter",
}

_CANONICAL = list(METHOD_LABELS)
_LONGEST_SLUG = 150
"""Characters; file systems take names of 255 bytes."""


def method_label(method: str) -> str:
    """The name of a method as its paper prints it; methods that are not known here keep their own.

    That of ensembles follows the name of the method, e.g. `FLYP greedy soup`.
    """
    base, _, ensemble = method.partition(WITH)
    label = METHOD_LABELS.get(base) or OTHER_LABELS.get(base, base)
    return f"{label} {ensemble.replace('_', ' ')}" if ensemble else label


def method_order(method: str, others: Sequence[str] = ()) -> tuple[int, str, int]:
    """Sort key: the paper's order, then that of `others`, then the alphabet; ensembles follow their method."""
    base, _, ensemble = method.partition(WITH)
    known = [*_CANONICAL, *(name for name in others if name not in METHOD_LABELS and WITH not in name)]
    at = [*ENSEMBLES].index(ensemble) + 1 if ensemble in ENSEMBLES else 0
    return (known.index(base) if base in known else len(known), base, at)


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
