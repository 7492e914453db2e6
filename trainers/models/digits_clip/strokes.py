"""Synthetic handwriting: jittered stroke skeletons of every digit, as distance fields.

A skeleton is a tuple of strokes. A stroke is a list of points "x,y x,y ..." on a sheet of 100 by 100, y down. A
Catmull-Rom curve runs through the points; a repeated point is a corner.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

Skeleton = tuple[str, ...]

CANVAS = 48  # pixels of a distance field along each side
REACH = 1.5  # the canvas spans [-REACH, REACH]; a digit spans [-1, 1] from top to bottom
SAMPLES = 28  # points along each stroke

SKELETONS: tuple[tuple[Skeleton, ...], ...] = (
    (  # 0: round, narrow, not quite closed
        ("50,0 15,20 5,50 15,80 50,100 85,80 95,50 85,20 50,0",),
        ("55,0 30,25 25,60 40,98 60,95 75,50 70,15 50,2",),
        ("40,5 12,30 10,70 40,100 80,85 90,40 70,8 50,12",),
    ),
    (  # 1: a bar, a slanted bar, with a flag, with a flag and a base
        ("50,0 50,50 50,100",),
        ("62,0 50,50 38,100",),
        ("30,22 55,0 55,0 55,50 53,100",),
        ("28,22 52,0 52,0 52,100", "25,100 80,100"),
    ),
    (  # 2: flat foot, looped foot, sharp and broad
        ("10,22 32,2 68,3 83,27 65,55 10,100 10,100 92,100",),
        ("12,20 42,0 80,15 72,48 35,88 12,92 15,76 45,84 95,98",),
        ("5,12 45,0 85,12 72,45 10,98 10,98 50,93 95,100",),
    ),
    (  # 3: round with a notch, round without, flat top
        ("10,14 42,0 80,14 72,40 38,48 38,48 80,58 88,82 50,100 8,88",),
        ("15,5 60,0 82,20 50,46 82,65 80,90 45,100 10,95",),
        ("12,0 85,2 85,2 42,40 42,40 82,55 84,85 45,100 8,88",),
    ),
    (  # 4: open, closed, slanted, in one sweep
        ("18,0 10,56 10,56 92,54", "70,5 68,50 65,100"),
        ("65,0 65,0 5,66 5,66 95,66", "65,0 64,50 64,100"),
        ("40,0 5,58 5,58 92,52", "78,25 68,60 58,100"),
        ("15,2 10,42 40,56 82,38 86,2 86,2 80,50 76,100",),
    ),
    (  # 5: in one stroke, with a separate hat, like an S
        ("85,0 22,0 22,0 16,42 16,42 52,36 87,58 80,88 45,100 8,90",),
        ("28,3 18,44 18,44 60,42 86,66 70,93 38,100 6,90", "24,4 92,0"),
        ("88,2 45,3 22,24 50,45 80,65 74,92 40,100 10,94",),
    ),
    (  # 6: round, straight back, curled top
        ("72,0 34,22 12,62 24,94 58,100 84,80 70,56 40,56 16,76",),
        ("50,0 24,40 14,76 40,100 78,90 80,68 50,60 18,80",),
        ("85,10 60,0 22,26 10,66 30,98 70,96 84,70 55,50 14,68",),
    ),
    (  # 7: plain, barred, curved, with a serif, with serif and bar
        ("8,3 92,3 92,3 65,50 40,100",),
        ("8,3 88,3 88,3 62,50 42,100", "28,52 90,50"),
        ("5,12 40,4 90,2 90,2 58,42 46,100",),
        ("10,22 10,4 10,4 90,3 90,3 55,50 40,100",),
        ("8,18 30,3 88,6 88,6 60,50 45,100", "20,55 88,46"),
    ),
    (  # 8: crossed in one stroke, two loops, with an open top
        ("78,14 50,0 22,15 36,40 70,60 84,84 50,100 16,84 30,60 66,40 78,14",),
        ("50,46 22,35 22,10 50,0 78,10 78,35 50,46", "50,46 12,60 14,88 50,100 86,88 88,60 50,46"),
        ("85,8 45,0 25,20 50,45 74,72 55,100 30,86 44,56 82,14",),
    ),
    (  # 9: straight leg, curved leg, slanted leg
        ("84,14 50,0 16,20 24,47 55,50 84,16 84,16 82,60 80,100",),
        ("82,20 50,0 16,22 28,50 64,46 84,16 88,58 62,95 18,94",),
        ("84,10 42,2 16,30 42,48 84,10 84,10 70,55 50,100",),
    ),
)


def handwritten(digit: int, count: int, generator: torch.Generator, jitter: float = 0.045) -> Tensor:
    """Distance fields [count, CANVAS, CANVAS] of jittered skeletons of one digit, its variants in turn.

    A pixel holds the distance to the nearest stroke, in half-heights of the digit. `jitter` is the standard deviation
    of every control point, in heights.
    """
    variants = SKELETONS[digit]
    share = math.ceil(count / len(variants))
    fields = [distance_fields(trace(variant, share, jitter, generator)) for variant in variants]
    return torch.stack(fields, dim=1).flatten(0, 1)[:count]


def trace(skeleton: Skeleton, count: int, jitter: float, generator: torch.Generator) -> list[Tensor]:
    """Curves [count, SAMPLES, 2] of each stroke, centred, with a height of 2 and a jittered aspect ratio."""
    curves = []
    for stroke in skeleton:
        points = torch.tensor([[float(x) / 100 for x in point.split(",")] for point in stroke.split()])
        noise = jitter * torch.randn(count, len(points), 2, generator=generator)
        for i in range(1, len(points)):
            if points[i].equal(points[i - 1]):  # the two points of a corner stay together
                noise[:, i] = noise[:, i - 1]
        curves.append(catmull_rom(points + noise))
    return _normalise(curves, torch.empty(count).uniform_(0.55, 1.0, generator=generator))


def catmull_rom(points: Tensor) -> Tensor:
    """SAMPLES points [B, SAMPLES, 2] on the curve through points [B, K, 2]."""
    ends = torch.cat([points[:, :1], points, points[:, -1:]], dim=1)
    place = torch.linspace(0, points.shape[1] - 1 - 1e-4, SAMPLES)
    first = place.long()
    t = (place - first)[:, None]
    p0, p1, p2, p3 = (ends[:, first + k] for k in range(4))
    return 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)


def _normalise(curves: list[Tensor], aspect: Tensor) -> list[Tensor]:
    """Centre digits made of several curves, with height 2 and a unit square 2 * `aspect` [B] wide."""
    every = torch.cat(curves, dim=1)
    low, high = every.amin(1, keepdim=True), every.amax(1, keepdim=True)
    height = (high - low)[..., 1:]
    scale = 2 / height * torch.stack([aspect, torch.ones_like(aspect)], dim=-1)[:, None]
    return [(curve - (low + high) / 2) * scale for curve in curves]


def distance_fields(curves: list[Tensor], chunk: int = 128) -> Tensor:
    """Distance of each canvas pixel to the nearest of the curves [B, SAMPLES, 2]: [B, CANVAS, CANVAS]."""
    starts = torch.cat([curve[:, :-1] for curve in curves], dim=1)
    ends = torch.cat([curve[:, 1:] for curve in curves], dim=1)
    parts = zip(torch.split(starts, chunk), torch.split(ends, chunk), strict=True)
    return torch.cat([_nearest(start, end) for start, end in parts]).reshape(-1, CANVAS, CANVAS)


def pixel_centres() -> Tensor:
    """Coordinates (x, y) of the canvas pixels [CANVAS * CANVAS, 2], row by row."""
    axis = (torch.arange(CANVAS) + 0.5) * (2 * REACH / CANVAS) - REACH
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2)


def _nearest(start: Tensor, end: Tensor) -> Tensor:
    """Distance [B, P] of every pixel centre to the nearest segment from start to end [B, S, 2]."""
    px, py = pixel_centres().T[:, None, :, None]
    ax, ay = (start[:, None, :, axis] for axis in (0, 1))
    dx, dy = (end[:, None, :, axis] - start[:, None, :, axis] for axis in (0, 1))
    rx, ry = px - ax, py - ay
    t = ((rx * dx + ry * dy) / (dx * dx + dy * dy + 1e-12)).clamp_(0, 1)
    squared: Tensor = (rx - t * dx).square().add_((ry - t * dy).square()).amin(-1)
    return squared.sqrt()
