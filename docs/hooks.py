"""MkDocs' hooks: the pages of the repository's root, README.md first, are pages of the site too.

Links are written as GitHub follows them; here they are turned into those of the site.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CITATION.cff": "CITATION.cff",
    "LICENSE": "LICENSE",
}
"""File in the repository's root -> its name in the site."""
_LINK = re.compile(r"(\]\(|(?:src|href|srcset)=\")([^)\"#\s]+)")
"""The target of a link or an image, without its anchor."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the files of the repository's root."""
    root = Path(config.config_file_path).parent
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(root / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with links that hold in the site."""
    in_root = page.file.src_uri in PAGES.values()
    return _LINK.sub(lambda found: found[1] + _target(found[2], in_root), markdown)


def _target(link: str, in_root: bool) -> str:
    """A link of a page of the root or of docs/, as the site has it."""
    if in_root:
        return PAGES.get(link, link.removeprefix("docs/"))
    return PAGES.get(link.removeprefix("../"), link) if link.startswith("../") else link
