"""`flyp-sweep data show`: what the loader sees, in a terminal or as a page; and `data check --duplicates`."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from browser import needs_browser, opened
from commands import call
from PIL import Image
from trees import write_noise

SPACE = """
name: birds
dataset: {name: birds, folders: {train: train, id_val: val, id_test: test, ood: {sketch: sketch}}}
model:
  - {arch: digits-clip, pretrained: bundled}
  - {arch: ViT-B-16, pretrained: openai}
methods: [zeroshot, flyp]
search: {num_samples: 1}
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A search space and its images; one of the tests is an image of train in a file of other bytes."""
    write_noise(tmp_path / "data", "train", "val", "test", "sketch")
    Image.open(tmp_path / "data/train/wren/1.png").save(tmp_path / "data/test/wren/0.png", compress_level=0)
    (tmp_path / "birds.yaml").write_text(SPACE)
    return tmp_path


class Page(HTMLParser):
    """The pictures, headings and tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.pictures: list[tuple[str, Image.Image]] = []
        self.tags: set[str] = set()
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = dict(attrs)
        if tag == "img":
            kind, _, data = (given["src"] or "").partition(",")
            assert kind == "data:image/png;base64"
            self.pictures.append((given["alt"] or "", Image.open(io.BytesIO(base64.b64decode(data)))))

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(" ".join(data.split()))


def test_in_a_terminal(tree: Path) -> None:
    code, output = call("data", "show", "birds.yaml", cwd=tree)
    assert code == 0, output
    assert output.startswith("as seen by digits-clip: 32 x 32 pixels (shortest side, centre, bicubic)\n")
    words = " ".join(output.split())
    assert "`--model` shows the pictures of another model: ViT-B-16/openai" in words
    assert "data set birds: 2 classes, 1 template, scored by accuracy" in words
    for split in ("train", "id_val", "id_test", "sketch (OOD)"):
        assert f"\n{split}: 10 images\n  sizes: 50 x 40 to 50 x 52, median 50 x 46\n" in output
    assert f"\n    robin         5 {'#' * 30}\n" in output
    assert re.search(r"\n    wren/\d.png: wren, 'a photo of a wren.'\n", output)
    assert "train and id_test: 1 image in two files of other bytes and equal pixels at 32 x 32" in words
    paths = [line for line in output.splitlines() if len(line) > 80 and str(tree) not in line]
    assert not paths
    assert output.endswith("Pictures: the same command with -o FILE.html\n")


def test_as_a_page(tree: Path) -> None:
    code, output = call("data", "show", "birds.yaml", "-o", "pages/birds.html", cwd=tree)
    assert (code, output) == (0, "pages/birds.html\n")
    page = Page((tree / "pages/birds.html").read_text(encoding="utf-8"))
    assert not {"script", "link", "iframe"} & page.tags
    assert len(page.pictures) == 8 * 5, "eight examples of each split, and those of train as training views"
    assert {image.size for _, image in page.pictures} == {(32, 32)}
    assert {name.partition(":")[0] for name, _ in page.pictures} == {"robin", "wren"}
    assert page.texts.count("a photo of a wren.") > 8
    assert any(text.startswith("train and id_test: 1 image in two files of other bytes") for text in page.texts)


def test_what_is_shown_is_chosen(tree: Path) -> None:
    chosen = ("--model", "ViT-B-16/openai", "--set", "dataset.templates=['the {}!']", "--root", "data")
    code, output = call("data", "show", "birds.yaml", *chosen, cwd=tree)
    assert code == 0, output
    assert output.startswith("as seen by ViT-B-16/openai: 224 x 224 pixels")
    assert "'the wren!'" in output


def test_a_page_is_made_of_broken_data(tree: Path) -> None:
    for path in (tree / "data/sketch").rglob("*.png"):
        path.write_bytes(b"<script>alert(1)</script>")
    (tree / "data/val").rename(tree / "data/elsewhere")
    code, output = call("data", "show", "birds.yaml", "-o", "birds.html", cwd=tree)
    assert code == 0, output
    page = Page((tree / "birds.html").read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert len(page.pictures) == 8 * 3
    assert f"missing: {tree}/data/val (from dataset.folders.id_val of 'birds' in the search space)" in page.texts
    assert any(f"This split cannot be shown: {tree}/data/val" in text for text in page.texts)
    assert sum(text.startswith("cannot be decoded: ") for text in page.texts) == 8


@pytest.mark.parametrize("name", ["digits", "quickstart"])
def test_a_data_set_or_a_bundled_space_is_shown_by_its_name(tmp_path: Path, name: str) -> None:
    code, output = call("data", "show", name, cwd=tmp_path)
    assert code == 0, output
    assert "data set digits: 10 classes, 8 templates, scored by accuracy" in output
    assert ("no model: 224 x 224" in output) == (name == "digits")
    assert output.count("\nsuspicious: nothing\n") == 1


def test_of_many_classes_the_extremes_are_shown(tmp_path: Path) -> None:
    for label in range(25):
        write_noise(tmp_path / "data" / f"{label}", "some")
        for split in ("train", "val"):
            folder = tmp_path / "data" / split / f"bird_{label}"
            folder.mkdir(parents=True)
            for index in range(1 + label):
                name = f"{index % 5}.png"
                image = Image.open(tmp_path / f"data/{label}/some/robin/{name}")
                image.rotate(label + 25 * index + (split == "val")).save(folder / f"{index}.png")
    folders = "{train: train, id_val: val}"
    (tmp_path / "many.yaml").write_text(
        f"name: many\ndataset: {{name: many, folders: {folders}}}\n"
        "model: {arch: digits-clip, pretrained: bundled}\nmethods: [zeroshot]\nsearch: {num_samples: 1}\n"
    )
    code, output = call("data", "show", "many.yaml", cwd=tmp_path)
    assert code == 0, output
    shown = re.findall(r"^    (bird \d+) ", output.partition("examples:")[0], re.MULTILINE)
    assert shown == [f"bird {label}" for label in (24, 23, 22, 21, 20, 4, 3, 2, 1, 0)]
    assert "\n    ... 15 more classes in between\n" in output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("absent.yaml",), "no such file"),
        (("birds",), "birds"),
        (("birds.yaml", "--model", "ViT-B-17"), "--model: found 'ViT-B-17'; expected a model of birds.yaml"),
        (("birds.yaml", "-o", "data"), "cannot be written"),
        (("birds.yaml", "--set", "dataset=flower102"), "did you mean 'flowers102'?"),
    ],
)
def test_what_cannot_be_done_is_one_line(tree: Path, arguments: tuple[str, ...], complaint: str) -> None:
    code, output = call("data", "show", *arguments, cwd=tree)
    assert (code, output.count("\n")) == (2, 1)
    assert complaint in output


def test_duplicates_are_listed_pair_by_pair(tree: Path) -> None:
    Image.open(tree / "data/val/wren/1.png").save(tree / "data/val/robin/copy.png", compress_level=0)
    code, output = call("data", "check", "birds.yaml", "--duplicates", cwd=tree)
    assert code == 0, output
    *_, first, second, last = output.replace(f"{tree}/data/", "").splitlines()
    assert first == "duplicate: train train/wren/1.png (wren) = id_test test/wren/0.png (wren): equal pixels at 32 x 32"
    assert second == (
        "duplicate: id_val val/robin/copy.png (robin) = id_val val/wren/1.png (wren): equal pixels at 32 x 32"
    )
    assert last == "2 pairs of duplicates among 41 images in files, compared at 32 x 32, 224 x 224"
    code, output = call("data", "check", "digits", "--duplicates", cwd=tree)
    assert code == 0
    assert output.endswith("duplicates: its images are no files of their own, and are not compared\n")


def test_evaluated_data_are_compared_with_those_that_are_trained_on(tree: Path) -> None:
    write_noise(tree / "data/more", "test")
    Image.open(tree / "data/train/wren/2.png").save(tree / "data/more/test/wren/9.png", compress_level=0)
    more = "evaluate: [{name: more, folders: {id_test: more/test}}]\n"
    (tree / "birds.yaml").write_text(SPACE + more)
    code, output = call("data", "check", "birds.yaml", "--duplicates", cwd=tree)
    assert code == 0, output
    listed = "duplicate: train train/wren/2.png (wren) = more more/test/wren/9.png (wren): equal"
    assert listed in output.replace(f"{tree}/data/", "")


@needs_browser
@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_is_scrolled_away_and_pictures_are_seen_in_both_colour_schemes(tree: Path, width: int) -> None:
    long = tree / "data/train/wren"
    (long / "1.png").rename(long / f"{'a_long_name_' * 9}.png")
    call("data", "show", "birds.yaml", "-o", "birds.html", cwd=tree)
    papers = set()
    for scheme in ("light", "dark"):
        with opened((tree / "birds.html").as_uri(), width=width, color_scheme=scheme) as page:
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate("[...document.images].every(one => one.naturalWidth === 32 && one.width > 90)")
            bar = "document.querySelector('.bar').getBoundingClientRect().width"
            assert page.evaluate(bar) > 100
            papers.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(papers) == 2
