"""Renders sentences as images, like CLIP's Rendered SST-2, and builds that data set from SST-2's text."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from flyp_sweep.search_spaces.errors import InputError

FOLDER = "rendered-sst2"
CLASSES = ("negative", "positive")
TEXTS = {"train": "train.tsv", "valid": "dev.tsv", "test": "test.tsv"}
"""Folder of the data set -> SST-2's file."""
SIZE, MARGIN = 448, 16
FONT_SIZES = (40, 36, 32, 28, 24, 20, 16, 12, 8)
"""In pixels; the largest size at which the text fits is used."""


def render(text: str) -> Image.Image:
    """A grey 448x448 image of `text`, black on white, wrapped at spaces and centred.

    CLIP's authors published their images, but not their font. This uses DejaVu Sans, which comes with matplotlib.
    """
    image = Image.new("L", (SIZE, SIZE), 255)
    draw = ImageDraw.Draw(image)
    room = SIZE - 2 * MARGIN
    for size in FONT_SIZES:
        lines = _wrapped(text, size, room)
        left, top, right, bottom = draw.multiline_textbbox((0, 0), lines, font=_font(size), align="center")
        if right - left <= room and bottom - top <= room:
            break
    draw.multiline_text((SIZE // 2, SIZE // 2), lines, fill=0, font=_font(size), anchor="mm", align="center")
    return image


def prepare_from_text(source: Path, root: Path) -> dict[str, int]:
    """Write ROOT/rendered-sst2 from `train.tsv`, `dev.tsv` and `test.tsv` in `source`; returns images per folder.

    A split appears when it is complete: incomplete splits of an interrupted call are written again. An existing split
    with the text's number of images per class is kept. Raises InputError for unreadable text, before writing anything,
    and for an existing split with another number of images.
    """
    texts = {part: read_tsv(source / name) for part, name in TEXTS.items()}
    for part, lines in texts.items():
        _write(root / FOLDER / part, lines)
    return {part: len(lines) for part, lines in texts.items()}


def read_tsv(path: Path) -> list[tuple[str, int]]:
    """Sentences and labels, 0 or 1, from lines of text, a tab and the label; skips a header line."""
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); expected SST-2's {', '.join(TEXTS.values())} in {path.parent}"
        ) from error
    found = []
    for number, line in enumerate(content.split("\n"), start=1):
        text, _, label = line.rstrip("\r").rpartition("\t")
        if not line.strip() or (number == 1 and label == "label"):
            continue
        if not text.strip() or label not in ("0", "1"):
            raise InputError(f"{path}, line {number}: found {line[:60]!r}; expected text, a tab, and 0 or 1")
        found.append((text.strip(), int(label)))
    if not found:
        raise InputError(f"{path}: found no sentence; expected lines of text, a tab, and 0 or 1")
    return found


def _write(folder: Path, lines: list[tuple[str, int]]) -> None:
    wanted = {name: sum(label == number for _, label in lines) for number, name in enumerate(CLASSES)}
    if folder.exists():
        there = {name: len(list((folder / name).glob("*.png"))) for name in CLASSES}
        if there != wanted:
            raise InputError(f"{folder}: found {there} images; expected {wanted} from the text; move the folder away")
        return
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for name in CLASSES:
        (partial / name).mkdir(parents=True)
    for number, (text, label) in enumerate(lines):
        render(text).save(partial / CLASSES[label] / f"{number:05d}.png", compress_level=1)
    partial.rename(folder)


def _wrapped(text: str, size: int, room: int) -> str:
    """`text` in lines at most `room` pixels wide, except for wider words."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _font(size).getlength(longer) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
