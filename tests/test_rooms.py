"""Which room may import which: the architecture of the package, as a test."""

import ast
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "hookspecs": set(),
    "params": set(),
    "io": {"hookspecs", "plugins"},
    "studies": {"io"},
    "plugins": {"hookspecs"},
    "__init__": {"hookspecs", "plugins"},
    "frames": {"hookspecs", "params"},
    "layers": {"frames", "plugins"},
    "inspection": {"frames", "plugins", "io", "studies"},
    "estimators": {"hookspecs", "params", "plugins", "frames", "layers", "io"},
    "testing": {"plugins", "frames", "layers", "estimators", "studies", "io", "inspection"},
    "cli": {"plugins", "frames", "layers", "estimators", "studies", "io", "inspection"},
}
LIBRARIES = {"numpy", "scipy", "torch", "sklearn", "skorch", "matplotlib", "pandas"}
DOES_WITHOUT = {  # wherever in the room they would be imported
    "hookspecs": LIBRARIES,
    "params": LIBRARIES,
    "plugins": LIBRARIES,
    "__init__": LIBRARIES,
    "frames": LIBRARIES - {"numpy"},
    "layers": LIBRARIES - {"numpy", "torch"},
    "io": {"torch", "skorch"},
    "studies": {"torch", "skorch"},
    "inspection": {"torch", "skorch"},
}
CORE = sorted((ROOT / "sklstruct").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))


def imports(source, package):
    """Return the absolute dotted names that a module of a package imports, wherever it does."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parent = resolve_name("." * node.level + (node.module or ""), package)
            names |= {f"{parent}.{alias.name}" for alias in node.names}
    return names


def imported_by(path, root):
    package = ".".join(path.relative_to(root).parent.parts)
    return [name.split(".") for name in imports(path.read_text(), package)]


def relative(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", CORE, ids=relative)
def test_a_room_imports_only_what_it_may(path):
    room = path.relative_to(ROOT / "sklstruct").with_suffix("").parts[0]
    for library, *rest in imported_by(path, ROOT):
        assert library not in DOES_WITHOUT.get(room, ()), f"{room} must do without {library}"
        assert not library.startswith("sklstruct_"), f"the core must not know {library}"
        if library == "sklstruct":
            others = set(rest[:1]) & set(MAY_IMPORT) - {room}
            assert others <= MAY_IMPORT[room], f"{room} must not import {others}"


@pytest.mark.parametrize("path", PLUGINS, ids=relative)
def test_a_plugin_imports_no_other_plugin(path):
    own = path.relative_to(ROOT / "plugins").parts[0]
    libraries = {library for library, *_ in imported_by(path, ROOT / "plugins")}
    others = {library for library in libraries if library.startswith("sklstruct_")} - {own}
    assert not others, f"{own} must not import {others}; it can ask the registry"


def test_imports_go_one_way():
    TopologicalSorter(MAY_IMPORT).prepare()  # raises CycleError if there is a way round


def test_every_room_is_in_the_diagram():
    rooms = {path.relative_to(ROOT / "sklstruct").with_suffix("").parts[0] for path in CORE}
    assert rooms == set(MAY_IMPORT)


@pytest.mark.parametrize(
    "statement, name",
    [
        ("import torch.nn as nn", "torch.nn"),
        ("from sklearn import base", "sklearn.base"),
        ("from . import checks", "sklstruct.frames.checks"),
        ("from .frame import Frame", "sklstruct.frames.frame.Frame"),
        ("from .. import plugins", "sklstruct.plugins"),
        ("from ..plugins import entries", "sklstruct.plugins.entries"),
        ("def f():\n    from ..layers import FrameConv", "sklstruct.layers.FrameConv"),
        ("class A:\n    def f(self):\n        import skorch", "skorch"),
        ("if TYPE_CHECKING:\n    from ..io import Dataset", "sklstruct.io.Dataset"),
        ("try:\n    import pandas\nexcept ImportError:\n    pandas = None", "pandas"),
    ],
)
def test_an_import_is_found_wherever_it_stands(statement, name):
    assert imports(statement, "sklstruct.frames") == {name}
