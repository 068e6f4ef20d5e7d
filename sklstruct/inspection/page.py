"""Pages of HTML that stand alone: text is escaped, pictures are within, no script."""

from __future__ import annotations

import os
import tomllib
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

from ..io.atomic import atomic_write
from .display import Display

STYLE = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
TEXT = tomllib.loads(Path(__file__).with_name("report.toml").read_text(encoding="utf-8"))
EMPTY = {"meta", "img"}  # elements without an end
WIDEST, INCH = 38, 6  # width of a picture at most, and of an inch of it, in rem


# Not a library of templates: what is written here is escaped unless it says that it is HTML.
class Html(str):
    """Text that is HTML, and must not be escaped again."""

    __slots__ = ()


def element(name: str, /, *content: Any, **attributes: Any) -> Html:
    """Return an element; what it contains is escaped unless it is ``Html``."""
    named = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
    )
    if name in EMPTY:  # an end tag would be an error
        return Html(f"<{name}{named}>")
    return Html(f"<{name}{named}>{joined(content)}</{name}>")


def joined(parts: Iterable[Any]) -> Html:
    """Return parts one after the other."""
    return Html("".join(p if isinstance(p, Html) else escape(str(p)) for p in parts))


def page(title: str, *content: Html) -> str:
    """Return a whole page."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Html(STYLE)),
    )
    body = element("body", element("main", element("h1", title), *content))
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def write_files(folder: str | os.PathLike[str], contents: Mapping[str, str]) -> Path:
    """Write texts by the names of their files, each whole or not at all, and return the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        with atomic_write(folder / name) as stream:
            stream.write(content)
    return folder


def section(title: str, *content: Html) -> Html:
    """Return content under a heading."""
    return element("section", element("h2", title), *content)


def paragraph(*content: Any) -> Html:
    """Return a paragraph of the text."""
    return element("p", *content)


def note(*content: Any) -> Html:
    """Return a paragraph in small print."""
    return element("p", *content, class_="note")


def listing(items: Iterable[Any]) -> Html:
    """Return a list of items."""
    return element("ul", *(element("li", item) for item in items))


def facts(pairs: Iterable[tuple[str, Any]]) -> Html:
    """Return names and what they stand for."""
    cells = [(element("dt", name), element("dd", value)) for name, value in pairs]
    return element("dl", *(cell for pair in cells for cell in pair))


def table(head: Sequence[Any], rows: Iterable[Sequence[Any]], kind: str = "numbers") -> Html:
    """Return a table whose first column names the rows; of kind "numbers" or "text".

    On narrow screens every row is a list, in which each cell stands beside the head of its column.
    """
    top = element("tr", *(element("th", cell, scope="col") for cell in head))
    body = [
        element(
            "tr",
            element("th", first, scope="row"),
            *(
                element("td", cell, data_head=name)
                for name, cell in zip(head[1:], cells, strict=True)
            ),
        )
        for first, *cells in rows
    ]
    whole = element("table", element("thead", top), element("tbody", *body), class_=kind)
    return element("div", whole, class_="wide")


def sentence(text: str) -> str:
    """Return text with its first letter as a sentence has it."""
    return text[:1].upper() + text[1:]


def stacked(above: Any, below: Any) -> Html:
    """Return what is shown in a cell and, smaller, what belongs to it."""
    return joined([above, " ", element("small", below)] if below else [above])


def picture(display: Display, alt: str, caption: str) -> Html:
    """Return a display as a picture within the page, with a text for those who do not see it."""
    from matplotlib import rc_context

    # What has been drawn is not drawn again.
    drawn: Any = (display if hasattr(display, "figure_") else display.plot()).figure_
    content = BytesIO()
    # As SVG: sharp in print at any size, and its text can be searched.
    with rc_context({"svg.hashsalt": alt}):  # the same names in every run
        drawn.figure.savefig(content, format="svg", dpi=200, metadata={"Date": None})
    source = f"data:image/svg+xml;base64,{b64encode(content.getvalue()).decode()}"
    width = (
        f"width: {min(WIDEST, INCH * drawn.figure.get_figwidth()):.3g}rem"  # letters of one size
    )
    shown = element("img", src=source, alt=alt, style=width)
    return element("figure", shown, element("figcaption", caption))
