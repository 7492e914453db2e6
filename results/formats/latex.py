"""The comparison table in LaTeX, ready to `\\input` where `booktabs` is loaded."""

from __future__ import annotations

import re

from results.formats.values import bracketed, entries
from results.naming import shots_label, slug
from results.tables import SIDE_LABELS, SIDES, Block, Table

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
} | {character: "\\" + character for character in "&%$#_{}"}  # fmt: skip


def latex(table: Table) -> str:
    """One `table` float per block with grouped headers; the best of each column is bold."""
    return "% Needs \\usepackage{booktabs}.\n" + "\n".join(_float(table, block) for block in table.blocks)


def escape(text: str) -> str:
    """`text` with every character that LaTeX reads as a command made printable."""
    return "".join(_SPECIAL.get(character, character) for character in " ".join(text.split()))


def _float(table: Table, block: Block) -> str:
    label = "tab:" + slug(block.dataset, block.model, shots_label(block.shots)).lower()
    notes = "".join(f"\\\\[2pt]\n{{\\footnotesize $^{{*}}$ {escape(note)}}}" for note in block.notes)
    return (
        "\\begin{table}[t]\n\\centering\n"
        f"\\caption{{{escape(block.title)}. {escape(table.caption)}}}\n\\label{{{label}}}\n"
        f"\\small\n\\setlength{{\\tabcolsep}}{{4pt}}\n{_tabular(block)}{notes}\n\\end{{table}}\n"
    )


def _tabular(block: Block) -> str:
    import pandas as pd  # the other formats do without

    sides = SIDES if block.columns else ()
    header = [(SIDE_LABELS[side].capitalize(), escape(column.name)) for side in sides for column in block.columns]
    rows = [
        [value for side in sides for value in entries(block, row, side, bracketed, "\\textbf{{{}}}".format)]
        + [escape(row.n_label) + ("$^{*}$" if row.notes else "")]
        for row in block.rows
    ]
    index = [escape(row.label) for row in block.rows]
    frame = pd.DataFrame(rows, index=index, columns=pd.MultiIndex.from_tuples([*header, ("", "$n$")]))
    layout = "l" + "c" * len(header) + "r"
    tex = frame.style.to_latex(hrules=True, multicol_align="c", column_format=layout)
    return _with_rules(str(tex), len(block.columns)).rstrip("\n")


def _with_rules(tex: str, width: int) -> str:
    """Put a `\\cmidrule` under each of the two grouped headers, `width` columns wide, which pandas leaves out."""
    if not width:
        return tex
    rules = f"\\cmidrule(lr){{2-{width + 1}}} \\cmidrule(lr){{{width + 2}-{2 * width + 1}}}\n"
    return re.sub(r"(\\toprule\n[^\n]*\n)", lambda match: match.group(1) + rules, tex, count=1)
