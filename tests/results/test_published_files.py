"""`--against FILE`: the numbers of any paper, in the form of published.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from flyp_sweep.results import against_published
from flyp_sweep.results.tables.published import FILE, published_table
from flyp_sweep.search_spaces.errors import InputError

CONTENT = {
    "source": "Doe et al. (2025)",
    "model": "a small CLIP",
    "models": ["digits-clip"],
    "tables": {
        "per_shift": {
            "seeds": 3,
            "brackets": {"kind": "interval", "from": "its Section 4"},
            "columns": [
                {"path": ["ID"], "dataset": "digits", "side": "without", "role": "id_test", "metric": "accuracy"},
                {"path": ["Photos"], "dataset": "digits", "side": "without", "role": "ood", "split": "photo",
                 "metric": "accuracy"},
                {"path": ["OOD"], "dataset": "digits", "side": "without", "role": "ood", "metric": "accuracy"},
            ],
            "rows": {"ft": ["92.0 (1.0)", "60.0 (1.0)", "67.5 (-)"], "flyp": ["95.0 (0.1)", "75.1 (0.2)", "70.0 (1)"]},
        }
    },
}  # fmt: skip


def written(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    return path


def test_numbers_of_another_paper_stand_beside_ours_split_by_split(example, tmp_path):
    file = written(tmp_path / "doe.yaml", CONTENT)
    table = against_published([example.evidence(example.run())], published=file)
    (grid,) = table.grids
    assert table.layout == "per_shift"
    assert [column.path[:2] for column in grid.columns[::4]] == [
        ("without ensembling", "ID"), ("without ensembling", "photo"), ("without ensembling", "mean OOD")
    ]  # fmt: skip
    assert [row.method for row in grid.rows] == ["zeroshot", "ft", "flyp"]
    ft = grid.rows[1].entries
    assert [entry.printed for entry in ft[1::4]] == ["92.0 (1.0)", "60.0 (1.0)", "67.5 (-)"]
    assert [ft[at].printed for at in (3, 7)] == ["yes", "no"]
    assert "beside Doe et al. (2025) (a small CLIP; mean over 3 seeds with its 95% interval)" in grid.caption
    assert "What its brackets are: its Section 4." in grid.audit[-1]


def test_the_shipped_file_is_a_file_like_any_other(tmp_path):
    copy = written(tmp_path / "copy.yaml", FILE.read_text())
    for layout in ("distribution_shift", "few_shot", "transfer"):
        assert published_table(layout, copy) == published_table(layout)


def changed(**changes: object) -> dict:
    return {**CONTENT, "tables": {"per_shift": {**CONTENT["tables"]["per_shift"], **changes}}}


COLUMN = CONTENT["tables"]["per_shift"]["columns"][0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("source: [", "doe.yaml: "),
        ("just text", "doe.yaml: found 'just text'; expected a mapping with keys out of source, model"),
        ({**CONTENT, "sorce": "x"}, "unknown key 'sorce'; allowed: source, model, models, differences, tables"),
        ({**CONTENT, "tables": {"per_shft": CONTENT["tables"]["per_shift"]}}, "found 'per_shft'; expected a layout"),
        (changed(rows={"ft": ["92.0 (1.0)"]}), "tables.per_shift.rows.ft: found ['92.0 (1.0)']; expected 3 entries"),
        (changed(rows={"ft": ["92.0", "1 (2)", "3 (4)"]}), "found '92.0'; expected a number in percent as printed"),
        (changed(rows={"ft": [92.0, "1 (2)", "3 (4)"]}), "tables.per_shift.rows.ft[0]: found 92.0"),
        (changed(seeds=0), "tables.per_shift.seeds: found 0; expected a whole number, 1 or more"),
        (changed(brackets={"kind": "stderr", "from": "x"}), "brackets.kind: found 'stderr'; expected one of int"),
        (changed(columns=[{**COLUMN, "metric": "acuracy"}]), "found 'acuracy'; expected a metric in percent: one"),
        (changed(columns=[{**COLUMN, "role": "test"}]), "role: found 'test'; expected one of id_test, ood, ood_val"),
        (changed(columns=[{**COLUMN, "metric": "nll"}]), "found 'nll'; expected a metric in percent"),
    ],
)  # fmt: skip
def test_a_bad_file_is_one_line(example, tmp_path, content, message):
    file = written(tmp_path / "doe.yaml", content)
    with pytest.raises(InputError) as caught:
        against_published([example.evidence(example.run())], published=file)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_says_nothing_of_ours(example, tmp_path):
    ours = [example.evidence(example.run())]
    with pytest.raises(
        InputError, match=r"no\.yaml: cannot be read \(No such file or directory\); expected a YAML file"
    ):
        against_published(ours, published=tmp_path / "no.yaml")
    other = changed(columns=[{**COLUMN, "dataset": "mnist"}], rows={"ft": ["1 (2)"]})
    with pytest.raises(
        InputError, match=r"doe\.yaml: found digits, expected numbers that Doe et al\. \(2025\) has: mnist"
    ):
        against_published(ours, published=written(tmp_path / "doe.yaml", other))
