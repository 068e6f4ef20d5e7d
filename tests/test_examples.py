"""Whatever is published shows its use, and what it shows is so."""

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

import sklstruct
from sklstruct import plugins
from sklstruct.docstrings import entries, split_sections

ROOT = Path(__file__).parents[1]
PACKAGES = (
    *("datasets", "estimators", "frames", "inspection", "io", "layers", "studies", "training"),
)
MODULES = ("params", "plugins", "testing")  # publish what is defined there
KINDS = ("architecture", "dataset", "estimator", "frame", "layer", "metric")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def published():
    """Return all classes and functions that are published, by their names."""
    found = {f"sklstruct.{name}": getattr(sklstruct, name) for name in dir(sklstruct)}
    for room in (*PACKAGES, *MODULES):
        module = importlib.import_module(f"sklstruct.{room}")
        names = [name for name in dir(module) if room in PACKAGES or is_own(module, name)]
        found |= {f"{room}.{name}": getattr(module, name) for name in names}
    for kind in KINDS:
        found |= {f"{kind} {name}": entry.load() for name, entry in plugins.entries(kind).items()}
    return {
        f"{value.__module__}.{value.__qualname__}": value
        for value in found.values()
        if callable(value)
        and hasattr(value, "__qualname__")
        and value.__module__.startswith("sklstruct")
        and not value.__name__.startswith("_")
        and not hasattr(value, "sklstruct_impl")  # hooks are for pluggy
    }


def is_own(module, name):
    return getattr(getattr(module, name), "__module__", None) == module.__name__


PUBLISHED = published()


def section(value, title):
    return split_sections(inspect.getdoc(value) or "").get(title, "")


def test_what_is_published_has_examples():
    shown = {name: section(value, "Examples") for name, value in PUBLISHED.items()}
    assert not [name for name, text in shown.items() if ">>> " not in text]
    assert not [name for name, text in shown.items() if "+SKIP" in text]


def test_what_to_see_also_is_there():
    known = {value.__name__ for value in PUBLISHED.values()}
    for name, value in PUBLISHED.items():
        for others in entries(section(value, "See Also")):
            for other in others.split(", "):
                assert known & set(other.split(".")), f"{name} points to {other}"


def test_no_escape_has_become_a_character():
    for root in ("sklstruct", "plugins"):
        for path in (ROOT / root).rglob("*.py"):
            text = path.read_text(encoding="utf-8").replace("\n", "")
            assert text.isprintable(), f"{path} has {[c for c in text if not c.isprintable()]}"


def modules_with_examples():
    """Return the names of the modules in which something is shown."""
    files = [
        path.relative_to(root).with_suffix("")
        for root, folder in ((ROOT, "sklstruct"), (ROOT / "plugins", "."))
        for path in (root / folder).rglob("*.py")
        if ">>> " in path.read_text(encoding="utf-8")
    ]
    return sorted(".".join(file.parts).removesuffix(".__init__") for file in files)


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples(name, tmp_path, monkeypatch):
    module, report = importlib.import_module(name), []
    for number, example in enumerate(doctest.DocTestFinder(exclude_empty=True).find(module)):
        (tmp_path / str(number)).mkdir()
        monkeypatch.chdir(tmp_path / str(number))  # as some of them write files
        doctest.DocTestRunner(optionflags=FLAGS).run(example, out=report.append)
    assert not report, "".join(report)
