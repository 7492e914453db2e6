r"""Characters as pdflatex prints them: those that it reads as commands, Greek letters, raised digits, and signs."""

# ruff: noqa: RUF001 - look-alikes of ASCII characters are what this file is about
from __future__ import annotations

import unicodedata
from functools import cache

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "[": "{[}",
    "]": "{]}",
} | {character: "\\" + character for character in "&%$#_{}"}  # fmt: skip

_SIGNS = {
    "±": r"\pm", "×": r"\times", "·": r"\cdot", "÷": r"\div", "−": "-", "≤": r"\leq", "≥": r"\geq", "≠": r"\neq",
    "≈": r"\approx", "∼": r"\sim", "∞": r"\infty", "→": r"\rightarrow", "←": r"\leftarrow", "↑": r"\uparrow",
    "↓": r"\downarrow", "↔": r"\leftrightarrow", "⇒": r"\Rightarrow", "∈": r"\in", "∪": r"\cup", "∩": r"\cap",
    "∅": r"\emptyset", "∑": r"\sum", "∏": r"\prod", "√": r"\surd", "∂": r"\partial", "∇": r"\nabla", "′": r"\prime",
    "∘": r"\circ", "°": r"{}^{\circ}", "⊕": r"\oplus", "⊗": r"\otimes", "★": r"\star", "†": r"\dagger",
    "⁄": "/", "‡": r"\ddagger", "✓": r"\surd", "✗": r"\times", "ℓ": r"\ell", "\N{GREEK SMALL LETTER OMICRON}": "o",
    "\N{GREEK SMALL LETTER FINAL SIGMA}": r"\varsigma",
}  # fmt: skip
"""Signs as they are written in math mode."""
_LIKE_LATIN = dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧ", "ABEZHIKMNOPTX", strict=True))
"""Greek capitals that LaTeX has no command for, as they look like Latin ones."""
_FORMS = ("<super>", "<sub>", "<fraction>", "<noBreak>", "<compat>", "<narrow>", "<wide>")
"""Kinds of characters that stand for others."""


@cache
def latex_character(character: str) -> str:
    """A character as LaTeX prints it; one that is not known here stays as it is, as for the fonts of XeLaTeX."""
    if character.isascii():
        return _SPECIAL.get(character, character)
    if math := _SIGNS.get(character) or _LIKE_LATIN.get(character) or _greek(character):
        return f"${math}$"
    form, _, codes = unicodedata.decomposition(character).partition(" ")
    if form not in _FORMS:
        return character
    text = "".join(latex_character(chr(int(code, 16))) for code in codes.split())
    raised = {"<super>": "textsuperscript", "<sub>": "textsubscript"}.get(form)
    return f"\\{raised}{{{text}}}" if raised else text


def _greek(character: str) -> str:
    """The command of a Greek letter, empty for any other character."""
    name = unicodedata.name(character, "")
    for prefix, change in (("GREEK SMALL LETTER ", str.lower), ("GREEK CAPITAL LETTER ", str.capitalize)):
        letter = name.removeprefix(prefix).replace("LAMDA", "LAMBDA")
        if name.startswith(prefix) and letter.isalpha():
            return f"\\{change(letter)}"
    return ""
