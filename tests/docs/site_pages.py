"""What the site adds to docs/: the documents that stand elsewhere in the checkout, and a page of each package.

On a forge every link is one between files. Here such a link leads to the page of that file; one to a file that has no
page keeps its words.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
PROJECT = "project"
OUTSIDE = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "config/README.md", "deploy/RUNBOOK.md")
LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s:]+)(#[^)\s]*)?\)")
API = re.compile(r"api/([\w.]+)\.md")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that no file in docs/ is the source of."""
    for path in OUTSIDE:
        files.append(File.generated(config, f"{PROJECT}/{path}", abs_src_path=str(ROOT / path)))
    for package in API.findall(str(config.nav)):
        text = f"# {package}\n\n::: {package}\n"
        files.append(File.generated(config, f"api/{package}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, files: Files, **_: object) -> str:
    """Let links lead to the pages of the files that they name."""
    here = page.file.src_uri
    source = here.removeprefix(f"{PROJECT}/") if here.startswith(f"{PROJECT}/") else f"docs/{here}"

    def led(found: re.Match[str]) -> str:
        words, target, anchor = found.groups()
        named = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        place = named.removeprefix("docs/") if named.startswith("docs/") else f"{PROJECT}/{named}"
        if files.get_file_from_path(place) is None:
            return str(words)
        return f"[{words}]({posixpath.relpath(place, posixpath.dirname(here) or '.')}{anchor or ''})"

    return LINK.sub(led, markdown)
