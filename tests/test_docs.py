"""The pages: the site builds, links hold, and what pages show is what there is and works."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import click
import jsonschema
import nbformat
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from nbclient import NotebookClient
from pydantic import BaseModel

import flyp_sweep
from flyp_sweep.orchestrator.cli.main import cli
from flyp_sweep.search_spaces import from_mapping, reference, yaml_text
from flyp_sweep.search_spaces.fields import Section
from flyp_sweep.search_spaces.json_schema import schema

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md")])
MARKDOWN = MarkdownIt().enable("table")
ELSEWHERE = re.compile(r"[a-z]+:")
AROUND: dict[str, Any] = {
    "name": "x",
    "dataset": "digits",
    "model": {"arch": "digits-clip", "pretrained": "bundled"},
    "methods": ["zeroshot", "ft", "flyp"],
    "search": {"num_samples": 3, "space": {"lr": 1e-3}},
}
"""What stands around the keys that a page shows."""
REMAKE = "docs/reference.md is not that of the model: make reference"


def tokens(page: Path) -> Iterator[Token]:
    for token in MARKDOWN.parse(page.read_text()):
        yield token
        yield from token.children or []


def links(page: Path) -> list[str]:
    """Where links and images of a page lead, but for addresses of the web."""
    found = [str(one.attrs.get("href") or one.attrs.get("src") or "") for one in tokens(page)]
    return [unquote(one) for one in found if one and not ELSEWHERE.match(one)]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    parsed = MARKDOWN.parse(page.read_text())
    found: set[str] = set()
    for token, text in pairwise(parsed):
        if token.type == "heading_open":
            shown = "".join(part.content for part in text.children or [] if part.type in ("text", "code_inline"))
            found.add(re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-"))
    return found


def fenced(page: Path, language: str) -> list[tuple[str, str]]:
    """The blocks of a language: what stands behind its name, and their text."""
    found = [token for token in tokens(page) if token.type == "fence" and token.info.split()[0:1] == [language]]
    return [(token.info.removeprefix(language).strip(), token.content) for token in found]


def keys(section: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in section.model_fields.items()}


def subclasses(section: type[Section]) -> Iterator[type[Section]]:
    """The sections of a search space; other files of YAML have sections too."""
    for one in section.__subclasses__():
        if one.__module__.startswith("flyp_sweep.search_spaces."):
            yield one
        yield from subclasses(one)


def commands(group: click.Group, path: str) -> Iterator[str]:
    for name, command in group.commands.items():
        yield f"{path} {name}"
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


def command_lines(page: Path) -> Iterator[str]:
    """What stands behind `flyp-sweep` in the code of a page, without comments and further commands."""
    for token in tokens(page):
        if token.type in ("fence", "code_block", "code_inline"):
            for line in token.content.replace("\\\n", " ").splitlines():
                yield from re.findall(r"(?:^|[ (;])flyp-sweep ([^#|`;&]+)", line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_hold_in_the_repository(page: Path) -> None:
    for link in links(page):
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.slow
def test_the_site_builds_and_asks_no_other_host(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = {page.name: page.read_text() for page in tmp_path.glob("*.html")}
    assert '<h1 id="flyp-sweep">' in pages["index.html"]
    assert {f"{page.stem}.html" for page in DOCS.glob("*.md")} < set(pages)
    for name, page in pages.items():
        asked = re.findall(
            r"<(?:script|img|iframe)[^>]* src=\"(?:https?:)?//[^\"]*|<link rel=\"stylesheet\" href=\"http", page
        )
        assert not asked, name


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_every_command_is_in_the_page_of_commands() -> None:
    text = (DOCS / "commands.md").read_text()
    assert not [command for command in commands(cli, "flyp-sweep") if f"`{command} " not in text.replace("`", " `")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_a_page_have_the_options_that_it_names(page: Path) -> None:
    for line in command_lines(page):
        command: click.Command = cli
        words = line.split()
        while isinstance(command, click.Group) and words and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        options = {name for option in command.params for name in [*option.opts, *option.secondary_opts]}
        named = {word.split("=")[0].strip("'\").,;") for word in words if re.match(r"--?[a-z]", word)}
        assert named <= {*options, "--help", "--version"}, line


@pytest.mark.parametrize(("page", "text"), [(page, text) for page in PAGES for _, text in fenced(page, "yaml")])
def test_yaml_of_a_page_is_accepted_by_the_loader_and_by_the_schema(page: Path, text: str) -> None:
    shown = yaml_text.read(text, page.name)
    if "source" in shown:
        return  # the numbers of a paper, for `table --against`
    data = AROUND | shown
    from_mapping(data)
    jsonschema.validate(data, json.loads(schema()))


def test_the_reference_is_that_of_the_model() -> None:
    assert (DOCS / "reference.md").read_text() == reference.page(), REMAKE


def test_the_reference_has_every_key_with_a_meaning() -> None:
    rows = re.findall(r"^\| \[?`(?:[\w.]+\.)?(\w+)`\S* \| (.+) \| (.+) \| (.*) \|$", reference.page(), re.MULTILINE)
    assert {key for key, *_ in rows} >= {key for one in subclasses(Section) for key in keys(one)}
    assert not [key for key, *_, meaning in rows if not meaning.endswith(".")]


def test_the_python_api_has_every_name() -> None:
    named = set(re.findall(r"^\| `(\w+)` \|", (DOCS / "python-api.md").read_text(), re.MULTILINE))
    assert named == set(flyp_sweep.__all__)


@pytest.mark.slow
def test_the_tutorial_works_as_written(tmp_path: Path) -> None:
    page = DOCS / "tutorial.md"
    for title, text in fenced(page, "yaml"):
        (tmp_path / title.removeprefix('title="').removesuffix('"')).write_text(text)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, module in (("python", ""), ("flyp-sweep", " -m flyp_sweep")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{module} "$@"\n')
        (programs / name).chmod(0o755)
    script = "\n".join(text for _, text in fenced(page, "bash"))
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    command = ["bash", "-euxo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\\toprule" in (tmp_path / "results.tex").read_text()
    assert (tmp_path / "labels.csv").read_text().count("\n") == 21, "a header and 20 images"


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    notebook = nbformat.read(DOCS / "quickstart.ipynb", as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert (tmp_path / "runs" / "notebook" / "ledger.jsonl").is_file()


def test_the_notebook_is_kept_without_outputs() -> None:
    cells = nbformat.read(DOCS / "quickstart.ipynb", as_version=4).cells
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
