"""How the site is built: ``make docs``, offline, and every warning is an error."""

from __future__ import annotations

import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path[:0] = [str(HERE)]

from generate import own_methods, write_pages  # noqa: E402

from sklstruct import __version__  # noqa: E402

(package,) = find_spec("sphinx-mathjax-offline").submodule_search_locations
MATHJAX = Path(package)

project, author, version, release = (
    "sklstruct",
    "the sklstruct developers",
    __version__,
    __version__,
)
copyright = f"2026, {author}"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "numpydoc",
]
exclude_patterns = ["_build", "README.md"]
templates_path = ["_templates"]

# Markdown
myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
myst_heading_anchors = 3

# The reference: every public name once, from its docstring
autosummary_generate = True
autosummary_generate_overwrite = True
autodoc_typehints = "none"
autosummary_context = {"own_methods": own_methods}
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# The gallery
SECTIONS = ["first_steps", "frames", "scattering", "maps", "scans"]
sphinx_gallery_conf = {
    "examples_dirs": "../examples/gallery",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py",
    "subsection_order": [f"../examples/gallery/{name}" for name in SECTIONS],
    "within_subsection_order": "FileNameSortKey",
    "nested_sections": False,
    "image_scrapers": ("pictures.scrape",),
    "capture_repr": ("_repr_html_",),
    "reset_modules": ("matplotlib", "pictures.start"),
    "backreferences_dir": "api/backreferences",
    "doc_module": ("sklstruct",),
    "reference_url": {"sklstruct": None},
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "remove_config_comments": True,
    "abort_on_example_error": True,
    "matplotlib_animations": False,
    "parallel": 2,
}

html_theme = "pydata_sphinx_theme"
html_title = "sklstruct"
html_static_path = ["_static", str(MATHJAX / "static")]
mathjax_path = "mathjax/tex-chtml-full.js"  # its own copy: pages are read offline too
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options: dict[str, Any] = {
    "navbar_align": "left",
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "header_links_before_dropdown": 7,
    "pygments_light_style": "tango",
}
html_sidebars = {"index": [], "install": [], "first_model": [], "choosing": []}

suppress_warnings = ["config.cache"]  # a function in the configuration is no fault


def escape_stars(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Let the stars of shapes such as (n, *spatial) be stars, and not begin emphasis."""
    lines[:] = [
        line if line.lstrip().startswith(CODE) else STAR.sub(r"\\*", line) for line in lines
    ]


STAR = re.compile(r"(?<=[ (])\*(?=[^()* ]+ ?[^()*]*\))|(?<=\w)\*\*(?=\w)")
CODE = ">>> ", "... "


def setup(app: Any) -> None:
    """Be called by Sphinx."""
    app.connect("autodoc-process-docstring", escape_stars)


write_pages(HERE)  # the reference and the command line, before Sphinx looks for pages
