r"""The table in LaTeX: `booktabs` floats to `\input`, or a document of their own."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from functools import partial

from flyp_sweep.results.naming import slugs
from flyp_sweep.results.tables.formats import Format
from flyp_sweep.results.tables.latex_characters import latex_character
from flyp_sweep.results.tables.latex_width import SIZES, FontSize, column_width, text_width
from flyp_sweep.results.tables.panels import Span, header_levels, panels
from flyp_sweep.results.tables.table import BOLD, Entry, Grid, Table

TEXT_WIDTH = 345.0
r"""\textwidth of LaTeX's article class at 10 pt, in points."""

COLUMN_WIDTH = 234.0
"""One column of a two-column paper, in points: what fits there needs no float across the page."""

_PANELS_OF_A_FLOAT = 2
"""More may be too high for a page."""

_OPENING = re.compile(r"""(?<![^\s(\[])['"](?=\S)""")


def latex(table: Table, textwidth: float = TEXT_WIDTH) -> str:
    r"""A float per grid with grouped headers; the best of a column is bold, what is level underlined.

    It is a `table` where it fits one column of a two-column paper, else a `table*`, which goes across the page there.

    A grid that is wider than `textwidth` (points) in \small is set in a smaller size; where \scriptsize is not small
    enough it is cut into panels, one above the other. One that would have more than two has a float per outermost
    header, and as many more as it takes. What numbers can be checked by, and the trace, follow as comments.
    """
    labels = slugs([(table.layout, grid.title.lower()) for grid in table.grids])
    pairs = zip(table.grids, labels, strict=True)
    floats = "\n".join(
        text for grid, label in pairs for text in _floats(grid, f"tab:{label}", textwidth, alone=len(table.grids) == 1)
    )
    trace = "".join(_comment(line) for line in table.trace)
    return "% Needs \\usepackage{booktabs}.\n" + floats + trace


def standalone(body: str, textwidth: float = TEXT_WIDTH) -> str:
    """A document that holds `body` and compiles alone."""
    return (
        "\\documentclass{article}\n\\usepackage{booktabs}\n"
        f"\\usepackage[textwidth={textwidth:g}pt]{{geometry}}\n"
        f"\\begin{{document}}\n{body}\\end{{document}}\n"
    )


def escape(text: str) -> str:
    """`text` with every character made printable by LaTeX, signs and Greek letters too; quotes opened and closed."""
    opened = _OPENING.sub(lambda quote: "`" * (2 if quote[0] == '"' else 1), " ".join(text.split()))
    return "".join(map(latex_character, opened))


def _floats(grid: Grid, label: str, textwidth: float, *, alone: bool) -> list[str]:
    """The floats of a grid; all but the first refer to its caption. A user's caption of the one table has no title."""
    caption = escape(grid.caption) if grid.is_captioned and alone else f"{escape(grid.title)}. {escape(grid.caption)}"
    written: list[str] = []
    for size, cut in _cuts(grid, textwidth):
        own = f"{label}-{len(written) + 1}" if written else label
        written.append(_float(grid, size, cut, caption, own))
        caption = f"{escape(grid.title)}, continued: as Table~\\ref{{{label}}}."
    return [*written[:-1], written[-1] + "".join(map(_comment, grid.audit))]


def _cuts(grid: Grid, textwidth: float) -> list[tuple[FontSize, list[tuple[int, ...]]]]:
    """The size and the panels of each float."""
    size, cut = _fitting(grid, range(len(grid.columns)), textwidth)
    if len(cut) <= _PANELS_OF_A_FLOAT:
        return [(size, cut)]
    apart = [index for index, column in enumerate(grid.columns) if column.stands_apart]
    rest = [index for index in range(len(grid.columns)) if index not in apart]
    groups = itertools.groupby(rest, key=lambda index: grid.columns[index].path[:-1][:1])
    floats = []
    for _, group in groups:
        size, cut = _fitting(grid, [*group, *apart], textwidth)
        floats += [(size, cut[at : at + _PANELS_OF_A_FLOAT]) for at in range(0, len(cut), _PANELS_OF_A_FLOAT)]
    return floats


def _float(grid: Grid, size: FontSize, cut: Sequence[tuple[int, ...]], caption: str, label: str) -> str:
    tabulars = "\\\\[6pt]\n".join(_tabular(grid, panel) for panel in cut)
    below = [f"$^{{*}}$ {escape(note)}" for note in grid.notes]
    remarks = "".join(f"\\par\\vspace{{2pt}}{{\\footnotesize\\raggedright {line}\\par}}\n" for line in below)
    fits = all(_width(grid, size, panel) <= COLUMN_WIDTH for panel in cut)
    name = "table" if fits else "table*"
    return (
        f"\\begin{{{name}}}[t]\n\\centering\n"
        "\\setlength{\\belowcaptionskip}{4pt}\n"
        f"\\caption{{{caption}}}\n\\label{{{label}}}\n"
        f"{{\\{size.name}\\setlength{{\\tabcolsep}}{{{size.tabcolsep:g}pt}}\n{tabulars}\n\\par}}\n{remarks}"
        f"\\end{{{name}}}\n"
    )


def _comment(line: str) -> str:
    return f"% {' '.join(line.split())}\n"


def _fitting(grid: Grid, columns: Sequence[int], textwidth: float) -> tuple[FontSize, list[tuple[int, ...]]]:
    """The size that needs the fewest panels, and among such the largest, with the columns of each panel."""
    cuts = [(size, panels(grid, partial(_width, grid, size), textwidth, columns)) for size in SIZES]
    return min(cuts, key=lambda cut: len(cut[1]))


def _width(grid: Grid, size: FontSize, columns: Sequence[int]) -> float:
    stub = max(text_width(label, size) for label in [grid.stub, *(row.label for row in grid.rows)])
    own = [column_width(grid, index, size) for index in columns]
    for spans in header_levels([grid.columns[index] for index in columns])[:-1]:
        at = 0
        for span in spans:
            held = sum(own[at : at + span.count]) + 2 * size.tabcolsep * (span.count - 1)
            own[at + span.count - 1] += max(0.0, text_width(span.label, size) - held)
            at += span.count
    return stub + sum(own) + 2 * size.tabcolsep * (len(columns) + 1)


def _tabular(grid: Grid, panel: Sequence[int]) -> str:
    columns = [grid.columns[index] for index in panel]
    layout = "l" + "".join("r" if column.stands_apart else "c" for column in columns)
    *groups, names = header_levels(columns)
    lines = [f"\\begin{{tabular}}{{{layout}}}", r"\toprule"]
    for spans in groups:
        lines += [" & ".join(["", *map(_header, spans)]) + r" \\", " ".join(_rules(spans))]
    lines += [" & ".join([escape(grid.stub), *(escape(span.label) for span in names)]) + r" \\", r"\midrule"]
    for row in grid.rows:
        lines.append(" & ".join([escape(row.label), *(_entry(row.entries[index]) for index in panel)]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _header(span: Span) -> str:
    return f"\\multicolumn{{{span.count}}}{{c}}{{{escape(span.label)}}}" if span.label else ""


def _rules(spans: Sequence[Span]) -> Iterator[str]:
    at = 2
    for span in spans:
        if span.label:
            yield f"\\cmidrule(lr){{{at}-{at + span.count - 1}}}"
        at += span.count


def _entry(entry: Entry) -> str:
    return _marked(entry) + ("$^{*}$" if entry.is_short else "")


def _marked(entry: Entry) -> str:
    """The entry, all of it bold or its mean underlined: brackets reach below the line and would part the rows."""
    printed = re.sub(r"^-(?=\d)", "$-$", escape(entry.printed))
    if entry.mark in BOLD:
        return f"\\textbf{{{printed}}}"
    if entry.mark == "level":
        mean, gap, rest = printed.partition(" ")
        return f"\\underline{{{mean}}}{gap}{rest}"
    return printed


FORMAT = Format(latex, "tex")
