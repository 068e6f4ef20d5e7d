"""The compiled part; everything else about the package is in pyproject.toml."""

import sys

from setuptools import Extension, setup

SCATTERING = "plugins/sklstruct_scattering"

setup(
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
    ]
)
