"""The errors of a model on a grid of corruptions and severities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

BY_CORRUPTION = "corruption_error/"
"""Prefix of the metric of one corruption; its name follows."""


def corruption_errors(
    is_right: np.ndarray, groups: np.ndarray, names: Sequence[str], reference: Mapping[str, float]
) -> dict[str, float]:
    """The error under each corruption, averaged over severities, and means over the corruptions.

    `is_right`, bool [N], marks correct predictions. `groups`, int64 [N], assigns each image to one of the groups
    `names`, called `corruption/severity`. Every severity has the same weight, however many images it has.

    `mean_corruption_error` is the unweighted mean over corruptions. If a `reference` model's errors are given, `mce` is
    the mean, over their corruptions, of the error divided by the reference's. This is the mCE of Hendrycks and
    Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations", ICLR 2019, section 4,
    with AlexNet as reference. All are fractions, lower is better; `mce` may exceed 1.
    """
    counts = np.bincount(groups[groups >= 0], minlength=len(names))
    wrong = np.bincount(groups[(groups >= 0) & ~is_right], minlength=len(names))
    by_corruption: dict[str, list[float]] = {}
    for group, name in enumerate(names):
        if counts[group]:
            by_corruption.setdefault(name.rpartition("/")[0], []).append(float(wrong[group] / counts[group]))
    errors = {corruption: float(np.mean(found)) for corruption, found in by_corruption.items()}
    means = {"mean_corruption_error": float(np.mean(list(errors.values())))}
    if reference:
        means["mce"] = float(np.mean([errors[name] / own for name, own in reference.items()]))
    return means | {f"{BY_CORRUPTION}{name}": error for name, error in errors.items()}
