"""Pages of HTML that stand alone: text is escaped, pictures are within, no script."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from io import BytesIO
from typing import Any

from .display import Display

STYLE = """
:root { color-scheme: light; }
body { margin: 2.5rem auto; padding: 0 1.2rem; max-width: 52rem; color: #222; background: #fff;
  font: 1.05rem/1.55 Charter, "Bitstream Charter", "Sitka Text", Cambria, Georgia, serif; }
h1 { font-size: 1.9rem; line-height: 1.2; font-weight: 600; margin: 0 0 .8rem; }
h2 { font-size: 1.25rem; font-weight: 600; margin: 2.6rem 0 .6rem; }
p, ul { margin: .6rem 0; max-width: 47rem; }
ul { padding-left: 1.2rem; }
.lead { font-size: 1.15rem; }
.note, figcaption { font-size: .92rem; color: #555; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .92rem;
  font-variant-numeric: lining-nums tabular-nums;
  border-top: 1.5px solid #222; border-bottom: 1.5px solid #222; min-width: 100%; }
th, td { padding: .32rem .7rem .32rem 0; text-align: left; vertical-align: top; }
th:last-child, td:last-child { padding-right: 0; }
th { font-weight: 600; }
thead th { border-bottom: 1px solid #222; vertical-align: bottom; }
tbody tr + tr > * { border-top: 1px solid #e3e3e3; }
td small { display: block; color: #555; white-space: nowrap; }
tbody th { min-width: 5rem; max-width: 11rem; overflow-wrap: break-word; }
.numbers td, .text th { white-space: nowrap; }
.text td { overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: fit-content(11rem) 1fr; gap: .35rem 1.2rem; }
dt { font-weight: 600; }
dd { margin: 0; overflow-wrap: anywhere; }
figure { margin: 1.2rem 0; }
img { max-width: 100%; height: auto; }
@page { margin: 18mm; }
@media print {
  body { margin: 0; padding: 0; max-width: none; font-size: 10pt; }
  .wide { overflow: visible; }
  h2 { break-after: avoid; }
  figure, tr { break-inside: avoid; }
}
"""
EMPTY = {"meta", "img"}  # elements without an end


class Html(str):
    """Text that is HTML, and must not be escaped again."""

    __slots__ = ()


def element(name: str, /, *content: Any, **attributes: Any) -> Html:
    """Return an element; what it contains is escaped unless it is ``Html``."""
    named = "".join(
        f' {key.rstrip("_")}="{escape(str(value))}"' for key, value in attributes.items()
    )
    if name in EMPTY:
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
    """Return a table whose first column names the rows; of kind "numbers" or "text"."""
    top = element("tr", *(element("th", cell, scope="col") for cell in head))
    body = [
        element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in cells))
        for first, *cells in rows
    ]
    whole = element("table", element("thead", top), element("tbody", *body), class_=kind)
    return element("div", whole, class_="wide")


def stacked(above: str, below: str) -> Html:
    """Return what is shown in a cell and, smaller, what belongs to it."""
    return joined([above, " ", element("small", below)] if below else [above])


def picture(display: Display, alt: str, caption: str) -> Html:
    """Return a display as a picture within the page, with a text for those who do not see it."""
    from matplotlib import rc_context

    drawn: Any = display.plot().figure_
    content = BytesIO()
    with rc_context({"svg.hashsalt": alt}):  # the same names in every run
        drawn.figure.savefig(content, format="svg", metadata={"Date": None})
    source = f"data:image/svg+xml;base64,{b64encode(content.getvalue()).decode()}"
    return element("figure", element("img", src=source, alt=alt), element("figcaption", caption))
