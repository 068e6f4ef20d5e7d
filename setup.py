"""The compiled part; everything else about the package is in pyproject.toml."""

import sys

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SCATTERING = "plugins/sklstruct_scattering"


class BuildExt(build_ext):
    """Leaves out the kernel where the compiler lacks the vector types of GCC and Clang."""

    def build_extensions(self):
        """Build what can be built; torch does the work of the kernel where there is none."""
        if self.compiler.compiler_type == "msvc":
            self.extensions = []
        super().build_extensions()


setup(
    cmdclass={"build_ext": BuildExt},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},  # one wheel for all Pythons from 3.11
    ext_modules=[
        Extension(
            "sklstruct_scattering._lanes",
            sources=[f"{SCATTERING}/_lanes.c"],
            depends=[f"{SCATTERING}/_lanes.h"],
            extra_compile_args=["-O3", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi"],
            libraries=[] if sys.platform == "win32" else ["m"],
            py_limited_api=True,
            optional=True,  # without a C compiler torch does the work
        )
    ],
)
