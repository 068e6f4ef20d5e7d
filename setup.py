"""The compiled parts; everything else about the package is in pyproject.toml."""

import sys
from glob import glob

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

LAYERS = "sklstruct/layers"


class BuildExt(build_ext):
    """Leaves out the kernels where the compiler lacks the vector types of GCC and Clang."""

    def build_extensions(self):
        """Build what can be built; torch does the work of the kernels where there are none."""
        if self.compiler.compiler_type == "msvc":
            self.extensions = []
        super().build_extensions()


def kernel(folder: str, name: str) -> Extension:
    """Return a kernel as an extension: NAME.c, and headers for each instruction set."""
    return Extension(
        f"{folder.removeprefix('plugins/').replace('/', '.')}.{name}",
        sources=[f"{folder}/{name}.c"],
        depends=[*glob(f"{folder}/*.h"), f"{LAYERS}/instructions.h"],
        include_dirs=[LAYERS],
        extra_compile_args=["-O3", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi"],
        libraries=[] if sys.platform == "win32" else ["m"],
        py_limited_api=True,
        optional=True,  # without a C compiler torch does the work
    )


setup(
    cmdclass={"build_ext": BuildExt},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},  # one wheel for all Pythons from 3.11
    ext_modules=[
        kernel(LAYERS, "_attributes"),
        kernel(LAYERS, "_fused"),
        kernel("plugins/sklstruct_scattering", "_lanes"),
        kernel("plugins/sklstruct_boundaries", "_boundaries"),
    ],
)
