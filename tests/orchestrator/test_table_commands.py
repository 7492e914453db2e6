"""`flyp-sweep table` and `flyp-sweep show`, on ledgers that are there."""

from __future__ import annotations

from pathlib import Path

import commands
import pytest
from ledgers import Example

MODEL = "ViT-B-16/openai"
"""The paper's."""


def call(*arguments: str) -> tuple[int, str]:
    """Exit code and output of `flyp-sweep` in the current folder."""
    return commands.call(*arguments, cwd=Path())


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs in ./runs, of one data set each, without OOD sets."""
    monkeypatch.chdir(tmp_path)
    example = Example()
    for name in ("pcam", "caltech101"):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        records = example.task("lp", [0.80, 0.82, 0.81], name, MODEL) + example.task(
            "flyp", [0.90, 0.89, 0.91], name, MODEL
        )
        example.write(folder, records)
    return tmp_path / "runs"


def test_several_runs_make_one_table(runs):
    code, output = call("table", "runs/pcam", "runs/caltech101")
    assert code == 0, output
    header = next(line.split() for line in output.splitlines() if line.startswith("Methods"))
    assert header == ["Methods", "PCAM", "CalTech", "Mean", "IQM"]
    assert output.count("Ledger: pcam sha256") == 1


def test_options_reach_the_table(runs):
    options = "--layout per_shift --interval bca --test wilcoxon --correction none --ensembling with --trace"
    code, output = call("table", "runs/pcam", *options.split(), "--format", "markdown")
    assert code == 0, output
    assert "BCa bootstrap" in output
    assert "Wilcoxon" in output
    assert "not corrected for the number of methods" in output
    assert "Bold" not in call("table", "runs/pcam", "--marks", "none")[1]
    assert "Macro F1 in %" in call("table", "runs/pcam", "--metric", "macro_f1")[1]
    assert "_without ensembling_" not in output
    assert f"pcam/{MODEL}/full/flyp (run pcam): seed 0 " in output
    assert "Mean" not in call("table", "runs/pcam", "runs/caltech101", "--no-aggregate")[1]


def test_the_papers_table_needs_no_run(runs):
    code, output = call("table", "--published", "--layout", "few_shot", "--format", "csv")
    assert code == 0, output
    assert "66.9 (5.0)" in output
    assert "82.6 (0.0)" in call("table", "--published")[1]


def test_ours_against_the_papers(runs):
    code, output = call("table", "runs/pcam", "--against", "published")
    assert code == 0, output
    assert "90.3 (0.3)" in output
    assert "agree" in output


def test_what_a_table_shows_is_chosen_on_the_command_line(runs):
    options = ["--label", "flyp=A = B & C", "--methods", "flyp, lp", "--sort", "PCAM", "--decimals", "3"]
    options += ["--columns", '"PCAM",IQM', "--caption", "Mine."]
    code, output = call("table", "runs/pcam", "runs/caltech101", *options)
    assert code == 0, output
    lines = output.splitlines()
    assert next(line.split() for line in lines if line.startswith("Methods")) == ["Methods", "PCAM", "IQM"]
    assert [line.partition("(2.484)")[0].strip(" *0189.") for line in lines if "(2.484)" in line] == ["A = B & C", "LP"]
    assert "Mine." in lines
    assert "compared with LP alone" in " ".join(call("table", "runs/pcam", "--control", "lp")[1].split())
    html = call("table", "runs/pcam", "--format", "html")[1]
    assert '<th scope="row">FLYP</th>' in html


def test_the_section_of_a_run_is_read_and_may_be_edited_there(runs):
    space = (
        "name: pcam\ndataset: digits\nmodel: {arch: digits-clip, pretrained: bundled}\nmethods: [lp, flyp]\n"
        "search: {num_samples: 2, space: {lr: {loguniform: [1.0e-4, 1.0e-2]}}}\n"
    )
    ledger = (runs / "pcam" / "ledger.jsonl").read_bytes()
    path = runs / "pcam" / "space.yaml"
    path.write_text(f"{space}tables: {{labels: {{flyp: Ours}}}}\n")
    assert "Ours" in call("table", "runs/pcam", "--methods", "flyp")[1]
    assert "Theirs" in call("table", "runs/pcam", "--methods", "flyp", "--label", "flyp=Theirs")[1]
    path.write_text(f"{space}tables: {{decimals: 7}}\n")
    code, output = call("table", "runs/pcam")
    assert code == 2
    assert "runs/pcam/space.yaml:6: tables.decimals: found 7; expected a whole number from 0 to 6" in output
    assert (runs / "pcam" / "ledger.jsonl").read_bytes() == ledger


def test_two_runs_of_the_same_cells_stand_side_by_side(runs):
    example = Example()
    example.write(runs / "caltech101", example.task("flyp", [0.5, 0.52, 0.51], "pcam", MODEL))
    code, output = call("table", "runs/pcam", "runs/caltech101", "--format", "csv", "--columns", "PCAM")
    assert code == 0, output
    assert [line.split(",")[-1] for line in output.splitlines()] == ["run", *["pcam", "caltech101"] * 2]
    code, output = call("table", "runs/pcam", "runs/caltech101", "--against", "published")
    assert code == 2
    assert f"pcam/{MODEL}/full/flyp: found in two runs" in output


def test_numbers_of_any_paper_stand_beside_ours(runs):
    Path("doe.yaml").write_text(
        f"source: Doe (2025)\nmodel: CLIP\nmodels: [{MODEL}]\ntables:\n  transfer:\n    seeds: 3\n"
        "    brackets: {kind: interval, from: Section 4}\n"
        "    columns: [{path: [P], dataset: pcam, side: without, role: id_test, metric: accuracy}]\n"
        "    rows: {flyp: [91.5 (0.1)]}\n"
    )
    code, output = call("table", "runs/pcam", "--against", "doe.yaml")
    assert code == 0, output
    assert "91.5 (0.1)" in output
    assert "against Doe (2025)" in output
    Path("doe.yaml").write_text("source: 3\n")
    code, output = call("table", "runs/pcam", "--against", "doe.yaml")
    assert (code, output.count("\n")) == (2, 1)
    assert output.startswith("error: doe.yaml:1: ")


def test_a_document_that_compiles_alone(runs):
    command = "table --published --layout transfer --format latex --text-width 496 -o t.tex"
    assert call(*command.split())[0] == 0
    assert "documentclass" not in Path("t.tex").read_text()
    assert call(*command.split(), "--standalone")[0] == 0
    assert "\\usepackage[textwidth=496pt]{geometry}" in Path("t.tex").read_text()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("table", "found neither of RUNS and --published"),
        ("table runs/pcam --published", "found both of RUNS and --published"),
        ("table runs/pcam runs/pcam", "found this run named twice"),
        ("table runs/pcam --standalone", "--standalone: found --format text, expected latex"),
        ("table runs/pcam --columns foto", "found 'foto' (did you mean 'photo'?), expected one of ID, photo, sketch"),
        ("table runs/pcam --columns PCAM,PCAM", "found 'PCAM' twice, expected every name once"),
        ("table runs/pcam --methods fly", "found 'fly' (did you mean 'flyp'?), expected one of zeroshot, ft"),
        (
            "table runs/pcam --label flyp",
            "Invalid value for '--label': found 'flyp', expected NAME=TEXT",
        ),
        ("table runs/pcam --label pcm=x", "found 'pcm' (did you mean 'pcam'?)"),
        ("table runs/pcam --control x", "--control (in a space: tables.control): found 'x'"),
        ("table runs/pcam --against published --control ft", "--control: found --against"),
        ("table runs/pcam --against nope.yaml", "nope.yaml: cannot be read (No such file or directory)"),
        ("table runs/pcam --decimals 9", "error: Invalid value for '--decimals': 9 is not in the range 0<=x<=6"),
        ("table --published --label a=b", "--label: found --published, expected RUNS; leave one of them out"),
        ("table --published --trace", "--trace: found --published, expected RUNS; leave one of them out"),
        ("table --published --against published", "--against: found --published"),
        ("table --published --interval t", "--interval: found --published"),
        ("table --published --metric ece", "--metric: found --published"),
        ("table runs/pcam --metric ecce", "error: Invalid value for '--metric': 'ecce' is not one of "),
        (
            "table runs/pcam --metric group_accuracy/x",
            "expected that of a finished repeat; the split has no such group",
        ),
        ("table runs/pcam --metric ece", "--metric ece: found none in pcam, expected that of a finished repeat"),
        ("table runs/pcam --interval seeds+examples", "expected the predictions of every repeat: `flyp-sweep evaluate"),
        ("plot runs/pcam --figure reliability", "reliability: the run has no predictions of single images"),
        ("table --published --ensembling with", "--ensembling: found --published"),
        ("table --published --layout ablation", "expected one that the paper has a table of"),
        ("table --layout nope", "error: Invalid value for '--layout': 'nope' is not one of "),
        ("table --text-width 5", "error: Invalid value for '--text-width': 5.0 is not in the range x>=100"),
        ("show zz", "found no trial 'zz' in runs/caltech101, runs/pcam"),
        ("report runs/pcam runs/caltech101", "found 2 RUNS and no file, expected -o FILE"),
        ("report runs/absent", "expected a run folder"),
        ("plot", "error: Missing argument 'RUNS...'. `flyp-sweep plot --help` tells what there is."),
        ("plot runs/pcam runs/caltech101 -o one.png", "-o one.png: found one file for 2 runs, expected one run"),
        ("plot runs/pcam runs/pcam -o again", "found several runs called pcam"),
        ("plot runs/pcam -o out.gif", "-o out.gif: found .gif, expected .png, .svg or .pdf, or a folder"),
        ("plot runs/pcam -o file/out.png", "error: file/out.png: cannot be written (File exists: file)"),
        ("table runs/pcam -o .", "error: .: cannot be written (Is a directory), expected room for a file of yours"),
        ("report runs/pcam -o file/out", "error: file/out: cannot be written (File exists: file), expected room for"),
        ("tabel", "error: No such command 'tabel'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(runs, command, message):
    Example().write(runs / "pcam", Example().run())
    Path("file").touch()
    code, output = call(*command.split())
    assert code == 2
    assert message in output
    assert output.count("\n") == 1
    assert sorted(path.name for path in Path().iterdir()) == ["file", "runs"]


@pytest.mark.parametrize("against", [[], ["--against", "published"]])
def test_a_run_of_which_nothing_has_finished_has_no_table(runs, against):
    Example().write(runs / "pcam", [Example().search(Example().cell("lp"), "c0")])
    code, output = call("table", "runs/pcam", *against)
    assert code == 2
    assert output.startswith("error: pcam: nothing has finished yet")
    assert output.count("\n") == 1


def test_a_trial_of_a_table_is_shown(runs):
    traced = call("table", "runs/pcam", "--trace")[1]
    trial_id = traced.split("full/flyp (run pcam): seed 0 ")[1].split(",")[0]
    code, output = call("show", trial_id[:10])
    assert code == 0, output
    assert trial_id in output
    assert f"pcam/{MODEL}/full/flyp" in output
    assert call("show", trial_id, "--run", "runs/caltech101")[0] == 2


def test_a_report_of_several_runs_is_one_page(runs):
    code, output = call("report", "runs/pcam", "runs/caltech101", "-o", "both.html")
    assert code == 0, output
    page = Path("both.html").read_text()
    assert "PCAM" in page
    assert "CalTech" in page
    assert call("report", "runs/pcam")[1] == "runs/pcam/report.html\n"
    assert (runs / "pcam" / "report.html").is_file()


def test_plot_warns_of_winners_on_the_edge_and_takes_one_kind_into_a_file(runs):
    example = Example()
    example.write(runs / "pcam", example.large_run(20))
    code, output = call("plot", "runs/pcam")
    assert code == 0, output
    assert "warning: the selected lr lies on the upper edge of what was searched" in output
    assert "warning" not in call("plot", "runs/pcam", "--figure", "frontier")[1]
    code, output = call("plot", "runs/pcam", "--figure", "sensitivity", "-o", "one.pdf")
    assert code == 0, output
    assert Path("one.pdf").read_bytes().startswith(b"%PDF")
    code, output = call("plot", "runs/pcam", "--figure", "shots", "-o", "none.png")
    assert code == 2
    reason = "accuracy by shots: nothing has finished at two or more shots"
    assert f"runs/pcam: found no shots figure: {reason}; choose another one" in output


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_figure_in_a_file_is_the_one_in_the_folder(runs, suffix):
    Example().write(runs / "pcam", Example().run())
    assert call("plot", "runs/pcam", "-o", f"new/one{suffix}")[0] == 0
    assert call("plot", "runs/pcam", "--figure", "frontier")[0] == 0
    content = Path(f"new/one{suffix}").read_bytes()
    assert content == (runs / f"pcam/figures/frontier-digits-digits-clip-full{suffix}").read_bytes()
    assert b"/Type3" not in content
    assert b"CreationDate" not in content


def test_a_figure_for_a_paper_fits_a_column_and_embeds_its_fonts(runs):
    Example().write(runs / "pcam", Example().run())
    for style in ("screen", "paper"):
        assert call("plot", "runs/pcam", "--style", style, "--figure", "ood", "-o", f"{style}.pdf")[0] == 0
    screen, paper = (Path(f"{style}.pdf").read_bytes() for style in ("screen", "paper"))
    assert b"/FontFile2" in paper
    assert b"/MediaBox [ 0 0 234 " in paper, "3.25 inches of 72 points"
    assert screen != paper


def test_several_runs_are_drawn_without_one_taking_the_place_of_another(runs):
    Example().write(runs / "pcam", Example().run())
    Example().write(runs / "caltech101", Example().run())
    code, output = call("plot", "runs/pcam", "runs/caltech101", "-o", "drawn")
    assert code == 0, output
    pictures = sorted(str(path) for path in Path("drawn").rglob("*.png"))
    assert "drawn/pcam/frontier-digits-digits-clip-full.png" in pictures
    assert "drawn/caltech101/frontier-digits-digits-clip-full.png" in pictures


def test_missing_folders_of_an_output_are_made(runs):
    assert call("table", "runs/pcam", "-o", "new/deep/table.txt") == (0, "")
    assert "PCAM" in Path("new/deep/table.txt").read_text()
