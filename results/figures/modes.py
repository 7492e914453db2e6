"""An SVG figure for pages that are light or dark, as their reader's system is."""

from __future__ import annotations

import re

from matplotlib.colors import to_hex, to_rgb

from flyp_sweep.results.figures.style import method_colours

_NEUTRAL = {
    "#000000": "#e4e8eb",
    "#333333": "#c9d0d5",
    "#444444": "#aab4bc",
    "#555555": "#b4bdc4",
    "#777777": "#98a3ab",
    "#888888": "#87929b",
    "#dddddd": "#333c43",
    "#ffffff": "#14181b",
}
"""What ink, lines and paper are on a dark page; the last is the page's colour. Colours that show numbers stay."""

_PAPER = _NEUTRAL["#ffffff"]
_ENOUGH = 4.0
"""The contrast that a method's colour has with a dark page; 3 is what WCAG asks of graphics."""

_COLOUR = re.compile(rb"(?<=[: ])#[0-9a-f]{6}\b")
_ROOT = re.compile(rb"<svg [^>]*>")


def for_both_modes(svg: bytes) -> bytes:
    """The SVG of a figure, which a reader who prefers dark pages sees in colours for these.

    Works within `<img>`, as the media query is in the image. The light look is that of the file.
    """
    dark = _NEUTRAL | {colour: _lightened(colour) for colour in method_colours()}
    used = sorted({found.decode() for found in _COLOUR.findall(svg)} & dark.keys() | {"#000000"})
    names = {colour: f"--{colour.removeprefix('#')}" for colour in used}
    light_rules = ";".join(f"{names[colour]}:{colour}" for colour in used)
    dark_rules = ";".join(f"{names[colour]}:{dark[colour]}" for colour in used)
    style = (
        f"<style>:root{{{light_rules};fill:var({names['#000000']})}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark_rules}}}}}</style>"
    ).encode()

    def named(match: re.Match[bytes]) -> bytes:
        colour = match.group().decode()
        return f"var({names[colour]})".encode() if colour in names else match.group()

    return _ROOT.sub(lambda match: match.group() + style, _COLOUR.sub(named, svg), count=1)


def _lightened(colour: str) -> str:
    """The colour with as much white as it takes to stand out from a dark page."""
    for percent in range(0, 100, 5):
        red, green, blue = (own + (1 - own) * percent / 100 for own in to_rgb(colour))
        mixed = (red, green, blue)
        if (_luminance(mixed) + 0.05) / (_luminance(to_rgb(_PAPER)) + 0.05) >= _ENOUGH:
            return to_hex(mixed)
    return "#ffffff"


def _luminance(rgb: tuple[float, ...]) -> float:
    """Relative luminance of an sRGB colour, as WCAG 2 defines it."""
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
