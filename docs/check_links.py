"""Check that every link within the site leads somewhere: ``check_links.py docs/_build/html``."""

from __future__ import annotations

import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

PLACES = {"href", "src"}


class Page(HTMLParser):
    """The links of a page, and the anchors that others may lead to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag links to, and its name."""
        for name, value in attrs:
            if name in PLACES and value:
                self.links.append(value)
            elif (name == "id" or (tag == "a" and name == "name")) and value:
                self.anchors.add(value)


read = cache(Page)


def not_in(page: Path, fragment: str) -> bool:
    """Return whether a place is named that a page does not have."""
    return bool(fragment) and unquote(fragment) not in read(page).anchors


def broken(site: Path) -> list[str]:
    """Return a line for each link of each page that leads nowhere; other sites are not asked."""
    found = []
    pages = (path for path in site.rglob("*.html") if "_static" not in path.parts)
    for page in sorted(pages):
        for link in dict.fromkeys(read(page).links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            start = site if parts.path.startswith("/") else page.parent
            there = start / unquote(parts.path).lstrip("/") if parts.path else page
            there = (there / "index.html" if there.is_dir() else there).resolve()
            if not there.is_file():
                found.append(f"{page.relative_to(site)}: there is no {link}")
            elif there.suffix == ".html" and not_in(there, parts.fragment):
                found.append(f"{page.relative_to(site)}: there is no place {link}")
    return found


if __name__ == "__main__":
    lines = broken(Path(sys.argv[1]).resolve())
    print(*lines, f"{len(lines)} broken links", sep="\n")
    sys.exit(bool(lines))
