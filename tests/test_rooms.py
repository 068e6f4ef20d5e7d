"""Which room may import which: the architecture of the package, as a test."""

import ast
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "hookspecs": set(),
    "docstrings": set(),
    "compat": set(),
    "lazy": set(),
    "threads": set(),
    "params": {"docstrings"},
    "plugins": {"hookspecs"},
    "architecture": {"params", "plugins"},
    "io": {"hookspecs", "lazy", "plugins", "params", "compat"},
    "datasets": {"hookspecs", "lazy", "params", "io"},
    "studies": {"io", "compat", "threads"},
    "frames": {"hookspecs", "params", "plugins"},
    "layers": {"architecture", "plugins", "params", "frames"},
    "training": {"lazy", "params", "layers"},
}
BELOW = {*MAY_IMPORT} - {"datasets", "studies"}
MAY_IMPORT |= {
    "__init__": {"hookspecs", "plugins", "architecture"},
    "estimators": BELOW - {"docstrings"},
    "inspection": {*MAY_IMPORT, "estimators"},
    "testing": {*MAY_IMPORT, "estimators", "inspection"},
    "cli": {*MAY_IMPORT, "estimators", "inspection"},
}
LIBRARIES = {"numpy", "scipy", "torch", "sklearn", "skorch", "matplotlib", "pandas"}
DOES_WITHOUT = {  # wherever in the room they would be imported
    **dict.fromkeys(("hookspecs", "docstrings", "params", "plugins", "__init__"), LIBRARIES),
    "lazy": LIBRARIES,
    "threads": LIBRARIES,
    "architecture": LIBRARIES - {"torch"},  # for the checker of types only
    "compat": LIBRARIES - {"sklearn"},
    "frames": LIBRARIES - {"numpy"},
    "layers": LIBRARIES - {"numpy", "torch"},
    "training": LIBRARIES - {"numpy", "torch", "skorch"},
    "io": {"torch", "skorch"},
    "datasets": {"torch", "skorch"},
    "studies": {"torch", "skorch"},
}
PUBLISHED = {  # what a plugin may use: packages, not the modules within, and a few modules
    *("architecture", "compat", "datasets", "estimators", "frames", "inspection", "io", "layers"),
    *("params", "plugins", "studies", "testing", "threads", "training"),
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


@pytest.mark.parametrize("path", [*CORE, *PLUGINS], ids=relative)
def test_only_one_module_each_knows_what_is_private_in_scikit_learn_and_speaks_to_skorch(path):
    names = imported_by(path, ROOT if path in CORE else ROOT / "plugins")
    private = [".".join(name) for name in names if name[0] == "sklearn" and is_private(name)]
    assert not private or path == ROOT / "sklstruct/compat.py", private
    skorch = [".".join(name) for name in names if name[0] == "skorch"]
    assert not skorch or path == ROOT / "sklstruct/training/net.py", skorch


def is_private(name):
    return any(part.startswith("_") and not part.endswith("__") for part in name)


@pytest.mark.parametrize("path", PLUGINS, ids=relative)
def test_a_plugin_imports_what_is_published(path):
    for library, *rest in imported_by(path, ROOT / "plugins"):
        if library == "sklstruct" and rest[0] in PUBLISHED:
            module = ROOT / "sklstruct" / Path(*rest[:2])
            inner = len(rest) > 1 and (module.with_suffix(".py").exists() or module.is_dir())
            assert not inner, f"{'.'.join(rest)} is of a module behind {rest[0]}"
        assert not is_private([library, *rest]) or library != "sklstruct"


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
