"""The pictures of the gallery: what a notebook would show, and words for who cannot see it."""

from __future__ import annotations

import ast
import re
import warnings
from typing import Any

from matplotlib import pyplot as plt
from sphinx_gallery.scrapers import figure_rst

from sklstruct.inspection.display import Display

DESCRIPTION = re.compile(r'^# sphinx_gallery_alt = "(.*)"$', re.MULTILINE)


def scrape(block: Any, variables: dict[str, Any], settings: dict[str, Any]) -> str:
    """Save the picture of a cell, and return what shows it on the page.

    It is the figure of pyplot that is open, or the display with which the cell ends.  The lines
    ``# sphinx_gallery_alt = "..."`` of the cell say, one after another, what is to be seen; a blank
    line keeps them apart from the text of the cell.
    """
    figures = [plt.figure(number) for number in plt.get_fignums()]
    if isinstance(ast.parse(block.content).body[-1], ast.Expr):
        shown = variables["example_globals"]["___"]
        if isinstance(shown, Display) and shown._repr_png_() is not None:
            figures.append(shown.figure_.figure)
    description = " ".join(DESCRIPTION.findall(block.content))
    if len(figures) > 1 or bool(figures) != bool(description):
        raise ValueError(
            f"the cell at line {block.lineno} has {len(figures)} pictures, and its description is "
            f"{description!r}; wanted is one picture with a description, or neither"
        )
    if not figures:
        return ""
    path = next(variables["image_path_iterator"])
    figures[0].savefig(path, dpi=200)
    plt.close("all")
    return figure_rst([path], settings["src_dir"], description)


def start(settings: dict[str, Any], script: str | None) -> None:
    """Let every warning of a script be an error, as in the tests."""
    warnings.simplefilter("error")
