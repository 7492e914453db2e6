"""Few-shot draws: k images per class, determined by the random stream."""

from __future__ import annotations

import numpy as np

from flyp_sweep.search_spaces.complaints import counted


def draw(labels: np.ndarray, shots: int, rng: np.random.Generator, exclude: np.ndarray | None = None) -> np.ndarray:
    """Indices, int64 [classes * shots] in ascending order, of `shots` images of every class in `labels`.

    Never draws indices in `exclude`. Raises ValueError if a class has too few images left.
    """
    free = np.ones(len(labels), dtype=bool)
    if exclude is not None:
        free[exclude] = False
    drawn = []
    for label in np.unique(labels):
        pool = np.flatnonzero(free & (labels == label))
        if len(pool) < shots:
            raise ValueError(f"class {label} has {counted(len(pool), 'image')} to draw from, fewer than {shots}")
        drawn.append(rng.choice(pool, size=shots, replace=False))
    return np.sort(np.concatenate(drawn))
