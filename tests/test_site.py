"""The site: every public name has one page, names lead to others, and links lead somewhere."""

import importlib
import re
import sys
from pathlib import Path

import pytest
from test_examples import PUBLISHED, section

from sklstruct import NiftiVolumes, RFNNClassifier, ScatteringSVC

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture
def docs(monkeypatch):
    """Return what imports a module of the folder of the site."""
    monkeypatch.syspath_prepend(str(DOCS))
    yield importlib.import_module
    for name in ("generate", "check_links"):
        sys.modules.pop(name, None)


def named(path):
    """Return what stands by this name in a module, or in a module that it begins with."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def test_every_public_name_has_one_page(docs, tmp_path):
    docs("generate").write_pages(tmp_path / "docs")
    pages = []
    for listing in (tmp_path / "docs/api").glob("*.rst"):
        room = re.search(r"^.. currentmodule:: (.*)$", listing.read_text(), re.MULTILINE)
        for part in re.split(r"^.. autosummary::$", listing.read_text(), flags=re.M)[1:]:
            names = re.findall(r"^   ~?([\w.]+)$", part, re.MULTILINE)
            pages += [named(f"{room[1]}.{name}" if room else name) for name in names]
    found = [f"{page.__module__}.{page.__qualname__}" for page in pages]
    assert sorted(found) == sorted(PUBLISHED)


def test_most_of_what_is_published_says_what_to_see_also():
    without = [name for name, value in PUBLISHED.items() if not section(value, "See Also")]
    assert len(without) < 0.1 * len(PUBLISHED)


@pytest.mark.parametrize("model", [RFNNClassifier(), ScatteringSVC(), NiftiVolumes()], ids=repr)
def test_the_picture_of_an_estimator_leads_to_its_page(model, monkeypatch):
    monkeypatch.delenv("SKLSTRUCT_DOCS", raising=False)
    assert "api/generated" not in model._repr_html_()
    monkeypatch.setenv("SKLSTRUCT_DOCS", "https://example.org/stable")
    page = f"https://example.org/stable/api/generated/sklstruct.{type(model).__name__}.html"
    assert page in model._repr_html_()

    class Own(type(model)):
        """Of somebody else."""

    assert "api/generated" not in Own()._repr_html_()


def test_links_that_lead_nowhere_are_found(docs, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "index.html").write_text(
        '<a id="here" href="#here">a</a> <a href="#there">b</a> <a href="sub/">c</a>'
        '<a href="sub/two.html#x%20y">d</a> <img src="none.png"> <a href="https://example.org">e</a>'
    )
    (tmp_path / "sub/index.html").write_text('<a href="../index.html#here">f</a>')
    (tmp_path / "sub/two.html").write_text('<p id="x y">g</p> <a href="two.html#z">h</a>')
    assert docs("check_links").broken(tmp_path) == [
        "index.html: there is no place #there",
        "index.html: there is no none.png",
        "sub/two.html: there is no place two.html#z",
    ]
