"""Printed digits: the glyphs of the fonts that matplotlib ships, as signed distance fields."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from flyp_sweep.trainers.models.digits_clip.strokes import CANVAS, REACH

OVERSAMPLING = 4
# These fonts map 0-9 to symbols, or to nothing.
WITHOUT_DIGITS = ("LastResort", "DejaVuSansDisplay", "DejaVuSerifDisplay", "STIXSiz", "STIXNonUni", "cmex", "cmsy")


def font_files() -> list[Path]:
    """matplotlib's TrueType fonts with digits, sorted by name."""
    import matplotlib

    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return sorted(path for path in fonts.glob("*.ttf") if not path.name.startswith(WITHOUT_DIGITS))


@cache
def printed(digit: int) -> Tensor:
    """Signed distance fields [fonts, CANVAS, CANVAS] of one digit, negative inside the ink.

    Units as in `strokes.handwritten`: half-heights of the digit, which is 2 high and centred.
    """
    return torch.stack([_signed_distance(_mask(path, str(digit))) for path in font_files()])


def _mask(font: Path, text: str) -> np.ndarray:
    """Ink of `text`, bool, on a canvas of OVERSAMPLING * CANVAS pixels, cropped to the ink and scaled to height 2."""
    side = OVERSAMPLING * CANVAS
    sheet = Image.new("L", (800, 800))
    ImageDraw.Draw(sheet).text((200, 200), text, fill=255, font=ImageFont.truetype(font, 200))
    glyph = sheet.crop(sheet.getbbox())
    height = round(side / REACH)
    width = min(side, max(1, round(glyph.width * height / glyph.height)))
    canvas = Image.new("L", (side, side))
    canvas.paste(glyph.resize((width, height)), ((side - width) // 2, (side - height) // 2))
    return np.asarray(canvas) > 127


def _signed_distance(ink: np.ndarray) -> Tensor:
    """Distances [CANVAS, CANVAS] to the outline of a square bool mask with OVERSAMPLING * CANVAS pixels per side."""
    from scipy.ndimage import distance_transform_edt

    pixels = distance_transform_edt(~ink) - distance_transform_edt(ink)
    units = torch.from_numpy(pixels).float() * (2 * REACH / len(ink))
    return torch.nn.functional.avg_pool2d(units[None], OVERSAMPLING)[0]
