"""The registry: what comes in, from where, under which name, and at which cost."""

import ast
import importlib
import inspect
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator

import sklstruct
from sklstruct import hookspecs, plugins
from sklstruct.frames import GaussianDerivatives, Pixels

EXAMPLE = Path(__file__).parents[1] / "examples" / "sklstruct-example"
HEAVY = {"torch", "skorch", "sklearn", "scipy", "pandas", "matplotlib", "nibabel", "PIL"}
LAZY = "datasets", "estimators", "inspection", "io"
KINDS = pytest.mark.parametrize("kind", plugins.KINDS)


def python(*arguments, path=""):
    """Return what a fresh interpreter prints, with one more directory of packages."""
    run = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs a one-module plugin while the test runs."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(plugins, "manager", cache(plugins.manager.__wrapped__))
    plugins._forget()
    modules = set(sys.modules)

    def write(name, source):
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[sklstruct]\n{name} = {name}\n")
        (tmp_path / f"{name}.py").write_text(f"from sklstruct import hookimpl\n{source}\n")

    yield write
    plugins._forget()
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def provider(kind, name):
    """Return the source of a plugin that registers one thing."""
    return f"@hookimpl\ndef register_{kind}s():\n    return {{{name!r}: 'builtins:object'}}"


# --- names ----------------------------------------------------------------------------------


@KINDS
def test_everything_registered_can_be_loaded(kind):
    for name, entry in plugins.entries(kind).items():
        assert callable(entry.load()), name
        assert entry.attribute == entry.load().__name__


@pytest.mark.parametrize(
    "kind, name, message",
    [
        ("frame", "gausian", r"Unknown frame 'gausian'. Did you mean 'gaussian'.*Known: .*pixel"),
        ("architecture", "rfn", r"Unknown architecture 'rfn'. Did you mean 'rfnn'"),
        ("frame", "zzz", r"Unknown frame 'zzz'. Known: anisotropic_gaussian, .*framelet"),
        ("colour", "red", r"kind must be one of \('frame', .*\), got 'colour'"),
    ],
)
def test_an_unknown_name_raises_with_the_close_ones(kind, name, message):
    with pytest.raises(ValueError, match=message):
        plugins.lookup(kind, name)


def test_a_frame_is_a_name_or_an_object_that_builds_one():
    assert plugins.make_frame("gaussian") == GaussianDerivatives()
    family = Pixels(size=3)
    frame = family.build(2)
    assert plugins.make_frame(family) is family
    assert plugins.make_frame(frame) is frame
    with pytest.raises(TypeError, match=r"GaussianDerivatives\(\), got the class Gaussian"):
        plugins.make_frame(GaussianDerivatives)
    for wrong in (3, None, [family]):
        with pytest.raises(TypeError, match=r"frame must be the name .* got"):
            plugins.make_frame(wrong)


def test_estimators_are_attributes_of_the_package():
    for entry in plugins.entries("estimator").values():
        assert getattr(sklstruct, entry.attribute) is entry.load()
        assert entry.attribute in dir(sklstruct)
    with pytest.raises(AttributeError, match="no attribute 'RFNClassifier'"):
        sklstruct.RFNClassifier  # noqa: B018


def test_a_star_brings_what_is_published_and_hides_nothing_of_python():
    brought = {}
    exec("from sklstruct import *\nfrom sklstruct.frames import *", brought)
    assert {"RFNNClassifier", "Architecture", "hookimpl", "Pixels"} <= brought.keys()
    assert "io" not in brought


# --- hooks ----------------------------------------------------------------------------------


@KINDS
def test_every_hook_is_documented_and_used_by_something_built_in(kind):
    hook = getattr(hookspecs, f"register_{kind}s")
    assert inspect.getdoc(hook).startswith("Return ``{name: ")
    own = f"sklstruct {metadata.version('sklstruct')}"
    assert own in {entry.source for entry in plugins.entries(kind).values()}


def test_every_hook_has_its_kind():
    hooks = {name for name in vars(hookspecs) if name.startswith("register_")}
    assert hooks == {f"register_{kind}s" for kind in plugins.KINDS}


@pytest.mark.parametrize("package", ["sklstruct", *(f"sklstruct.{room}" for room in LAZY)])
def test_the_stub_of_a_package_names_what_is_public_in_it(package):
    module = importlib.import_module(package)
    statements = ast.parse(Path(module.__file__).with_suffix(".pyi").read_text()).body
    imports = [node for node in statements if isinstance(node, ast.ImportFrom)]
    homes = {alias.asname: node for node in imports for alias in node.names}
    own = f"sklstruct {metadata.version('sklstruct')}"
    entries = [entry for kind in plugins.KINDS for entry in plugins.entries(kind).values()]
    others = {entry.attribute for entry in entries if entry.source != own}
    hooks = {name for name in vars(hookspecs) if name.startswith("register_")}
    assert {*dir(module)} - others - hooks - {"__version__"} == {*homes}
    for name, node in homes.items():
        home = importlib.import_module("." * node.level + (node.module or name), package)
        assert getattr(module, name) is (getattr(home, name) if node.module else home)


def test_listing_loads_nothing_heavy():
    script = "import sys, sklstruct; dir(sklstruct); "
    script += "[sklstruct.plugins.entries(kind) for kind in sklstruct.plugins.KINDS]; "
    loaded = python("-c", script + "print(*sys.modules)").split()
    assert "sklstruct.plugins" in loaded
    assert not HEAVY & set(loaded)


# --- other people's plugins -----------------------------------------------------------------


def test_a_plugin_comes_with_its_distribution(install):
    install("friend", provider("frame", "hexagon"))
    entry = plugins.entries("frame")["hexagon"]
    assert entry == plugins.Entry("frame", "hexagon", "builtins:object", "friend 1.0")
    assert entry.load() is object


@pytest.mark.parametrize("kind, name", [("frame", "gaussian"), ("estimator", "rfnn")])
def test_a_clash_names_both_distributions(install, kind, name):
    install("rival", provider(kind, name))
    for taken in (lambda: plugins.entries(kind), lambda: plugins.lookup(kind, name)):
        with pytest.raises(ValueError, match=f"register the {kind} '{name}'") as error:
            taken()
        assert "rival 1.0" in str(error.value)
        assert f"sklstruct {metadata.version('sklstruct')}" in str(error.value)
    other = "architecture" if kind == "frame" else "frame"
    assert plugins.entries(other), "a clash of one kind must not touch the others"


@pytest.mark.parametrize(
    "source, error",
    [
        ("import no_such_module", "ModuleNotFoundError"),
        ("def f(:", "SyntaxError"),
        ("raise RuntimeError('no licence')", "no licence"),
        ("@hookimpl\ndef register_spaceships():\n    return {}", "register_spaceships"),
        ("@hookimpl\ndef register_frames(planet):\n    return {}", "planet"),
    ],
)
def test_a_broken_plugin_is_left_out_with_a_warning(install, source, error):
    install("broken", source)
    install("friend", provider("frame", "hexagon"))
    with pytest.warns(UserWarning, match=f"broken 1.0(.|\n)*left out(.|\n)*{error}"):
        names = plugins.entries("frame")
    assert {"gaussian", "pixel", "hexagon"} <= set(names)


# --- at run time ----------------------------------------------------------------------------


@KINDS
def test_a_name_is_registered_replaced_and_forgotten(install, kind):
    plugins.register(kind, "mine", Pixels)
    assert plugins.lookup(kind, "mine") is Pixels
    plugins.register(kind, "mine", "sklstruct.frames:GaussianDerivatives")
    assert plugins.lookup(kind, "mine") is GaussianDerivatives
    (entry,) = plugins.run_time_entries()
    assert (entry.kind, entry.name, entry.source) == (kind, "mine", plugins.RUN_TIME)
    plugins.unregister(kind, "mine")
    assert "mine" not in plugins.entries(kind)
    with pytest.raises(ValueError, match=f"No {kind} 'mine' was registered at run time"):
        plugins.unregister(kind, "mine")


def test_a_taken_name_is_refused(install):
    install("friend", provider("frame", "hexagon"))
    with pytest.raises(ValueError, match=r"frame name 'hexagon' is taken by friend 1\.0"):
        plugins.register("frame", "hexagon", Pixels)
    assert plugins.run_time_entries() == []
    with pytest.raises(ValueError, match="No frame 'hexagon' was registered at run time"):
        plugins.unregister("frame", "hexagon")


# --- the example distribution ---------------------------------------------------------------


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """Install the example as a user would; return a folder with its source and its packages."""
    home = tmp_path_factory.mktemp("example")
    source = shutil.copytree(EXAMPLE, home / "source")  # builds leave files beside the source
    options = "--quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation"
    python("-m", "pip", "install", *options.split(), "--target", home / "site", source)
    return home


def test_the_example_is_listed_from_its_own_distribution(example):
    script = (
        "import json, sys\n"
        "from sklstruct.plugins import KINDS, entries\n"
        "found = {k: [n for n, e in entries(k).items() if e.source == 'sklstruct-example 0.1.0']"
        " for k in KINDS}\n"
        "print(json.dumps([found, 'torch' in sys.modules]))"
    )
    found, torch_is_loaded = json.loads(python("-c", script, path=example / "site"))
    assert {kind: names for kind, names in found.items() if names} == {
        "frame": ["dct"],
        "architecture": ["tiny"],
        "estimator": ["tiny"],
    }
    assert not torch_is_loaded


LEARNS = """
from sklearn.datasets import load_digits
from sklstruct import StructuredClassifier, TinyClassifier
from sklstruct.architecture import make_architecture

def test_it_learns():
    X, y = load_digits(return_X_y=True)
    model = StructuredClassifier(architecture="tiny", image_shape=(8, 8), max_epochs=1)
    labels = model.fit(X[:50], y[:50]).predict(X[100:150])
    assert type(make_architecture("tiny")).__module__ == "sklstruct_example.tiny"
    assert set(labels) <= set(y)
    twin = TinyClassifier(image_shape=(8, 8), max_epochs=1).set_params(frame__order=1)
    assert twin.fit(X[:50], y[:50]).n_parameters_ < model.n_parameters_
"""


def test_the_example_learns_and_passes_the_conformance_checks(example):
    tests = example / "source" / "tests"
    (tests / "test_learns.py").write_text(LEARNS)  # in the same process: torch takes seconds
    output = python("-m", "pytest", "-W", "error", tests, path=example / "site")
    assert " passed" in output
    assert "skipped" not in output


@pytest.mark.parametrize("module", ["dct", "tiny"])
def test_an_example_is_short(module):
    assert len((EXAMPLE / "sklstruct_example" / f"{module}.py").read_text().splitlines()) <= 40


def test_a_family_of_somebody_else_takes_one_order_for_all_axes():
    class Foreign(BaseEstimator):
        def __init__(self, order=1, size=3):
            self.order, self.size = order, size

        def build(self, ndim):
            return Pixels(self.size).build(ndim)

    plugins.register("frame", "foreign", Foreign)
    try:
        made = plugins.make_frame("foreign", like=GaussianDerivatives(order=(2, 1), size=5))
    finally:
        plugins.unregister("frame", "foreign")
    assert made.get_params() == {"order": 2, "size": 5}
