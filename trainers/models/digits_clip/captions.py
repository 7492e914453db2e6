"""Captions for rendered digits: they name the digit, often the medium, and often the styles."""

from __future__ import annotations

from collections.abc import Sequence

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
MEDIA = ("printed", "handwritten")

PHRASES = (
    "a photo of a {about} {digit}.",
    "a photo of the {about} digit {digit}.",
    "a photo of the {about} number {digit}.",
    "a scan of a {about} {digit}.",
    "a drawing of the {about} number {digit}.",
    "an image of the {about} digit {digit}.",
    "an image of a {about} {digit}.",
    'the {about} digit "{digit}".',
    'the {about} number "{digit}".',
    "{about} digit {digit}.",
    "a {about} {digit}.",
    "the {about} number {digit} in {medium}.",
)
IN_MEDIUM = {"printed": "print", "handwritten": "handwriting"}

DRAWS = 4


def caption(digit: int, medium: str, styles: Sequence[str], uniforms: Sequence[float]) -> str:
    """One sentence about a picture of `digit`; the DRAWS numbers `uniforms` in [0, 1) determine its wording.

    Two captions in three spell the digit as a word; three in four name the medium, two in three the styles.
    """
    phrase = PHRASES[int(uniforms[0] * len(PHRASES))]
    name = WORDS[digit] if uniforms[1] < 2 / 3 else str(digit)
    told_styles = list(styles) if uniforms[2] < 2 / 3 else []
    told_medium = [medium] if uniforms[3] < 3 / 4 and "{medium}" not in phrase else []
    words = phrase.format(about=" ".join(told_styles + told_medium), digit=name, medium=IN_MEDIUM[medium])
    return _with_article(" ".join(words.split()))


def _with_article(sentence: str) -> str:
    """Write `an` for `a` before a vowel."""
    words = sentence.split(" ")
    for i, following in enumerate(words[1:]):
        if words[i] == "a" and (following[0] in "aeiou8") and not following.startswith("one"):
            words[i] = "an"
    return " ".join(words)
