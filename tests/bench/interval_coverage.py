"""How often intervals hold the true accuracy over new seeds and images: `python tests/bench/interval_coverage.py`.

Simulated: seed s is right on image i with probability expit(1 + 0.15 a_s + 1.5 b_i), a and b standard normal.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from flyp_sweep.results.statistics.intervals import mean_interval
from flyp_sweep.results.statistics.two_ways import two_way_interval

RUNS = 1000


def chances(stream: np.random.Generator, seeds: int, images: int) -> np.ndarray:
    return expit(1 + 0.15 * stream.normal(size=(seeds, 1)) + 1.5 * stream.normal(size=(1, images)))


def main() -> None:
    stream = np.random.default_rng(0)
    truth = chances(stream, 5000, 5000).mean()
    for seeds, images in ((5, 300), (5, 3000), (50, 300)):
        held = np.zeros(2)
        for _ in range(RUNS):
            p = chances(stream, seeds, images)
            right = (stream.random(p.shape) < p).astype(float)
            found = two_way_interval([right], resamples=999), mean_interval(right.mean(axis=1).tolist())
            held += [one.low <= truth <= one.high for one in found]
        both, alone = 100 * held / RUNS
        print(f"{seeds} seeds, {images} images: seeds+examples {both:.0f}%, Student-t over seeds {alone:.0f}%")


if __name__ == "__main__":
    main()
