"""A figure for every block whose best repeats have per-example outputs."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure

from flyp_sweep.results.analysis.best_repeats import Predicted, PredictedBlock
from flyp_sweep.results.figures.style import Drawn
from flyp_sweep.results.naming import shots_label, slugs


def draw_each(
    kind: str, predicted: Predicted, draw: Callable[[PredictedBlock], Figure], why_not: Callable[[PredictedBlock], str]
) -> Drawn:
    """`<kind>-<dataset>-<model>-<shots>` for every block; `why_not` says why one has none, `""` where it has."""
    reasons = {block.title: why_not(block) for block in predicted.blocks}
    able = [block for block in predicted.blocks if not reasons[block.title]]
    stems = slugs([(kind, block.dataset, block.model, shots_label(block.shots)) for block in able])
    skipped = {**predicted.skipped, **{title: reason for title, reason in reasons.items() if reason}}
    return Drawn(
        {stem: draw(block) for stem, block in zip(stems, able, strict=True)},
        {f"{title}, {kind}": reason for title, reason in skipped.items()},
    )


def without_id_test(block: PredictedBlock) -> str:
    """The reason of a block without per-example outputs on an ID test split, `""` where it has some."""
    return "" if any(one.id_split for one in block.methods) else "there is no ID test split"
