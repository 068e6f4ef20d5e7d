"""What is shipped: one wheel for all Pythons, types, versions that agree."""

import re
import runpy
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import setuptools

import sklstruct

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture
def built(monkeypatch):
    """Return what setup.py asks setuptools for."""
    asked = {}
    monkeypatch.setattr(setuptools, "setup", asked.update)
    runpy.run_path(str(ROOT / "setup.py"))
    return asked


def test_one_wheel_serves_all_pythons(built):
    for kernel in built["ext_modules"]:
        assert kernel.py_limited_api
        assert "#define Py_LIMITED_API 0x030B0000" in (ROOT / kernel.sources[0]).read_text()
    assert built["options"]["bdist_wheel"]["py_limited_api"] == "cp311"
    assert PROJECT["requires-python"] == ">=3.11"


@pytest.mark.parametrize("compiler, n_built", [("msvc", 0), ("unix", 4)])
def test_kernels_are_left_out_where_the_compiler_lacks_vectors(built, compiler, n_built):
    command = built["cmdclass"]["build_ext"](setuptools.Distribution(built))
    command.finalize_options()
    command.extensions = built["ext_modules"]
    command.compiler = SimpleNamespace(compiler_type=compiler)
    done = []
    command.build_extension = done.append
    command.build_extensions()
    assert len(done) == n_built


def test_every_package_has_types():
    packages = setuptools.find_packages(ROOT / "plugins", include=["sklstruct*"])
    assert all((ROOT / "plugins" / name / "py.typed").is_file() for name in packages)
    assert (ROOT / "sklstruct" / "py.typed").is_file()
    assert (ROOT / "examples/sklstruct-example/sklstruct_example/py.typed").is_file()


def test_versions_agree():
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited[1] == PROJECT["version"] == sklstruct.__version__


def test_the_oldest_versions_that_are_tested_are_the_first_that_are_allowed():
    lines = (ROOT / "constraints-lowest.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    pins["torch"] = re.search(r"torch==(\S+)", (ROOT / "Makefile").read_text())[1]
    floors = dict(line.split(">=") for line in PROJECT["dependencies"])
    assert floors.keys() <= pins.keys()
    for name, floor in floors.items():
        assert [*pins[name].split("."), "0"][: floor.count(".") + 1] == floor.split("."), name
