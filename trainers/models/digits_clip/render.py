"""Captioned pictures of digits, a batch at a time: glyphs from a bank of distance fields, bent, inked and styled.

No UCI or MNIST image is used. With distance fields, the pen's width is a threshold, and a whole batch takes a few
tensor operations. Pictures are float [B, 32, 32] in [0, 1] until they are returned as uint8.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from flyp_sweep.trainers.models.digits_clip import captions
from flyp_sweep.trainers.models.digits_clip.fonts import printed
from flyp_sweep.trainers.models.digits_clip.strokes import CANVAS, REACH, handwritten

SIZE = 32
STYLES = ("inverted", "rotated", "noisy", "faint", "blurred", "thick", "thin", "occluded")
PLAIN = 0.35  # share of pictures without any style
SECOND_STYLE = 0.2
LOW_RESOLUTION = 0.2
HANDWRITTEN = 0.5
BANK_SEED = 7


@dataclass(frozen=True)
class Bank:
    """Distance fields, half precision: `fields[medium]` is [10, N, CANVAS, CANVAS], media as in `captions.MEDIA`."""

    fields: tuple[Tensor, Tensor]

    def pick(self, digits: Tensor, media: Tensor, generator: torch.Generator) -> Tensor:
        """A random field of each digit [B] in each medium [B]: float [B, CANVAS, CANVAS]."""
        chance = torch.rand(len(digits), generator=generator)
        picked = torch.empty(len(digits), CANVAS, CANVAS)
        for medium, fields in enumerate(self.fields):
            here = media == medium
            picked[here] = fields[digits[here], (chance[here] * fields.shape[1]).long()].float()
        return picked


def build_bank(per_digit: int, seed: int = BANK_SEED) -> Bank:
    """All printed glyphs, and `per_digit` samples of handwriting of each digit."""
    generator = torch.Generator().manual_seed(seed)
    written = torch.stack([handwritten(digit, per_digit, generator).half() for digit in range(10)])
    return Bank((torch.stack([printed(digit).half() for digit in range(10)]), written))


@dataclass(frozen=True)
class Batch:
    """`pictures` uint8 [B, 32, 32] (dark ink is low), `digits` int64 [B], and a caption for each."""

    pictures: Tensor
    digits: Tensor
    captions: list[str]


def render(bank: Bank, count: int, generator: torch.Generator) -> Batch:
    """`count` random pictures with captions, determined by the generator."""
    digits = torch.randint(10, (count,), generator=generator)
    media = (torch.rand(count, generator=generator) < HANDWRITTEN).long()
    styles = _draw_styles(count, generator)
    ink = _ink(bank.pick(digits, media, generator), media, styles, generator)
    coarse = torch.rand(count, generator=generator) < LOW_RESOLUTION
    ink[coarse] = low_resolution(ink[coarse])
    pictures = _apply_styles(ink, styles, generator)
    return Batch(
        (pictures.clamp(0, 1) * 255).round().to(torch.uint8),
        digits,
        _captions(digits, media, styles, coarse, torch.rand(count, captions.DRAWS + 1, generator=generator)),
    )


def low_resolution(ink: Tensor) -> Tensor:
    """Ink [B, 32, 32] averaged over blocks of 4x4 pixels, like a coarse scan, at 32x32 again."""
    coarse = F.avg_pool2d(ink[:, None], 4)
    return F.interpolate(coarse, size=(SIZE, SIZE), mode="bicubic").clamp(0, 1)[:, 0]


def _draw_styles(count: int, generator: torch.Generator) -> dict[str, Tensor]:
    """For each style, which pictures have it: bool [B]. Zero to two styles per picture, never both thick and thin."""
    first, second = torch.randint(len(STYLES), (2, count), generator=generator)
    plain, also = torch.rand(2, count, generator=generator)
    chosen = {
        style: (plain >= PLAIN) & ((first == i) | ((second == i) & (also < SECOND_STYLE)))
        for i, style in enumerate(STYLES)
    }
    chosen["thin"] = chosen["thin"] & ~chosen["thick"]
    return chosen


def _ink(fields: Tensor, media: Tensor, styles: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    """Bend the fields and draw them with a pen: ink [B, 32, 32] in [0, 1]."""
    count = len(fields)
    fill = _uniform(count, 0.55, 0.95, generator)
    grid = _affine_grid(fill, styles["rotated"], generator) + _elastic(count, generator)
    distance = F.grid_sample(fields[:, None], grid, padding_mode="border", align_corners=False)[:, 0]
    pixel = 2 / (fill * SIZE)
    pen = _pen(media, styles, generator)
    return (0.5 + (pen[:, None, None] - distance) / pixel[:, None, None]).clamp(0, 1)


def _pen(media: Tensor, styles: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    """Half the stroke width [B]; for printed glyphs, the outward shift of the outline."""
    count = len(media)
    normal = _uniform(count, 0.08, 0.18, generator)
    thin = _uniform(count, 0.03, 0.06, generator)
    thick = _uniform(count, 0.2, 0.32, generator)
    pen = torch.where(styles["thin"], thin, torch.where(styles["thick"], thick, normal))
    return torch.where(media == 1, pen, 0.6 * (pen - 0.12))


def _affine_grid(fill: Tensor, rotated: Tensor, generator: torch.Generator) -> Tensor:
    """Sampling grid [B, 32, 32, 2] into the canvas: size, aspect, slant, rotation and shift of every digit."""
    count = len(fill)
    angle = _uniform(count, -8, 8, generator)
    strong = _uniform(count, 20, 45, generator) * torch.where(_uniform(count, -1, 1, generator) < 0, -1.0, 1.0)
    radians = torch.where(rotated, strong, angle) * (math.pi / 180)
    slant = 0.2 * torch.randn(count, generator=generator)
    aspect = _uniform(count, 0.85, 1.15, generator)
    cos, sin = radians.cos() / fill, radians.sin() / fill
    shift = 0.06 * torch.randn(count, 2, generator=generator)
    rows = [
        torch.stack([(cos + slant * sin) / aspect, (slant * cos - sin) / aspect, shift[:, 0]], dim=1),
        torch.stack([sin, cos, shift[:, 1]], dim=1),
    ]
    return F.affine_grid(torch.stack(rows, dim=1) / REACH, [count, 1, SIZE, SIZE], align_corners=False)


def _elastic(count: int, generator: torch.Generator, strength: float = 0.035) -> Tensor:
    """Smooth random displacements [B, 32, 32, 2], in canvas units."""
    coarse = strength * torch.randn(count, 2, 5, 5, generator=generator)
    return F.interpolate(coarse, size=(SIZE, SIZE), mode="bicubic").permute(0, 2, 3, 1)


def _apply_styles(ink: Tensor, styles: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    """Put ink [B, 32, 32] on paper in the drawn styles: grey levels, 1 is white."""
    count = len(ink)
    ink[styles["blurred"]] = _blurred(ink[styles["blurred"]])
    paper = _uniform(count, 0.85, 1.0, generator)
    normal = paper - _uniform(count, 0.0, 0.3, generator)
    contrast = torch.where(styles["faint"], _uniform(count, 0.12, 0.3, generator), normal)
    grey = paper[:, None, None] - contrast[:, None, None] * ink
    grey = torch.where(styles["inverted"][:, None, None], 1 - grey, grey)
    grey = torch.where(_patches(count, generator) & styles["occluded"][:, None, None], _shade(count, generator), grey)
    deviation = torch.where(styles["noisy"], _uniform(count, 0.15, 0.4, generator), torch.tensor(0.02))
    return grey + deviation[:, None, None] * torch.randn(grey.shape, generator=generator)


def _blurred(ink: Tensor, sigma: float = 1.5) -> Tensor:
    """Gaussian blur of [B, 32, 32]; `sigma` in pixels."""
    offsets = torch.arange(-4, 5, dtype=torch.float32)
    kernel = F.softmax(-(offsets**2) / (2 * sigma**2), dim=0)
    rows = F.conv2d(ink[:, None], kernel.view(1, 1, 1, -1), padding=(0, 4))
    return F.conv2d(rows, kernel.view(1, 1, -1, 1), padding=(4, 0))[:, 0]


def _patches(count: int, generator: torch.Generator) -> Tensor:
    """One random rectangle per picture, 8 to 14 pixels a side: bool [B, 32, 32]."""
    inside = []
    for _ in range(2):
        start = _uniform(count, 2, 20, generator)[:, None]
        length = _uniform(count, 8, 14, generator)[:, None]
        place = torch.arange(SIZE)
        inside.append((place >= start) & (place < start + length))
    return inside[0][:, :, None] & inside[1][:, None, :]


def _shade(count: int, generator: torch.Generator) -> Tensor:
    """The grey of each patch, [B, 1, 1]."""
    return _uniform(count, 0.2, 0.8, generator)[:, None, None]


def _captions(digits: Tensor, media: Tensor, styles: dict[str, Tensor], coarse: Tensor, chances: Tensor) -> list[str]:
    """A caption for every picture; half of the coarse ones are called pixelated. `chances` is [B, DRAWS + 1]."""
    told = coarse & (chances[:, -1] < 0.5)
    table = torch.stack([styles[style] for style in STYLES] + [told], dim=1).tolist()
    names = (*STYLES, "pixelated")
    return [
        captions.caption(digit, captions.MEDIA[medium], [n for n, has in zip(names, row, strict=True) if has], draws)
        for digit, medium, row, draws in zip(digits.tolist(), media.tolist(), table, chances.tolist(), strict=True)
    ]


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Uniform numbers [count] between `low` and `high`."""
    return torch.empty(count).uniform_(low, high, generator=generator)
