"""``make docs``: the site is whole, and reads nothing from anywhere but itself."""

from __future__ import annotations

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlparse

import pytest

ROOT = Path(__file__).parents[2]
LOADING = {"src", "srcset", "data", "poster"}
REFERENCE = {
    "keeper.core": "keeper.core.venue.AccountMargin",
    "keeper.engine": "keeper.engine.step.Engine",
    "keeper.journal": "keeper.journal.reader.JournalReader",
    "keeper.margin": "keeper.margin.distance",
    "keeper.risk": "keeper.risk.volatility.ewma_variances",
    "keeper.venues": "keeper.venues.aave_v3.ledger",
    "strategies": "strategies.partial_liquidation",
}


class Page(HTMLParser):
    """What a page loads when it is opened, where its links lead, and the names that can be linked to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: set[str] = set()
        self.links: set[str] = set()
        self.names: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the addresses in a tag."""
        for name, value in attrs:
            if value and (name in LOADING or (tag, name) == ("link", "href")):
                self.loads.add(value)
            if value and (tag, name) == ("a", "href"):
                self.links.add(value)
            if value and name == "id":
                self.names.add(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the site, built strictly: a link without an end or a page that nobody lists fails it."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(out)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return out


@pytest.mark.soak
def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    """No page takes a script, a style, a font or a picture from a foreign host, nor does a style."""
    loads = {load for path in site.rglob("*.html") for load in Page(path).loads}
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))

    assert {load for load in loads if urlparse(load).netloc} == set()
    assert "url(http" not in styles
    assert "@import" not in styles


@pytest.mark.soak
def test_links_between_pages_have_ends(site: Path) -> None:
    """Each relative link of a document leads to a file of the site."""
    broken = {
        (path.name, link)
        for path in site.rglob("*.html")
        if path.name != "404.html"
        for link in Page(path).links
        if not urlparse(link).netloc
        and not link.startswith(("#", "mailto:"))
        and not (path.parent / urlparse(link).path).resolve().exists()
    }

    assert broken == set()


@pytest.mark.soak
def test_the_reference_holds_what_is_public(site: Path) -> None:
    """Each package has its page, with the names that others build on."""
    for package, name in REFERENCE.items():
        assert name in Page(site / "api" / f"{package}.html").names, name
