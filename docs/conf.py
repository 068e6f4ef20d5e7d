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
os.environ["SKLSTRUCT_DOCS"] = "../.."  # from the pages of the gallery, which show estimators
sys.path[:0] = [str(HERE)]

from generate import REFERENCE_PAGES, own_methods, write_pages  # noqa: E402
from home import draw_pictures  # noqa: E402
from sphinx.util.nodes import make_refnode  # noqa: E402

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
    "matplotlib.sphinxext.plot_directive",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "numpydoc",
]
exclude_patterns = ["_build", "_*.md"]
templates_path = ["_templates"]

# Markdown
myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
myst_heading_anchors = 3

# The reference: every public name once, from its docstring
autosummary_generate = [f"api/{page}.rst" for page in REFERENCE_PAGES]
autosummary_generate_overwrite = True
autodoc_typehints = "none"
autosummary_context = {"own_methods": own_methods}
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# Pictures beside their code in the guide
plot_formats = [("png", 160)]
plot_html_show_formats = False
plot_html_show_source_link = False
plot_include_source = True
plot_rcparams = {"font.size": 8, "savefig.bbox": "tight"}
plot_apply_rcparams = True

# The gallery
SECTIONS = ["first_steps", "frames", "scattering", "maps", "inside", "scans"]
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
    "min_reported_time": 600,
    "write_computation_times": False,
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
    "header_links_before_dropdown": 6,
    "pygments_light_style": "tango",
}
SINGLE = "index install first_model choosing command_line plugins benchmarks data changes citing"
html_sidebars = {page: [] for page in [*SINGLE.split(), "contributing"]}

suppress_warnings = ["config.cache"]  # a function in the configuration is no fault


def escape_stars(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Let the stars of shapes such as (n, *spatial) be stars, and not begin emphasis."""
    lines[:] = [
        line if line.lstrip().startswith(CODE) else STAR.sub(r"\\*", line) for line in lines
    ]


STAR = re.compile(r"(?<=[ (])\*(?=\w[^()]*\))|(?<=\w)\*\*(?=\w)")
CODE = ">>> ", "... "


def by_short_name(app: Any, env: Any, node: Any, content: Any) -> Any:
    """Link the names under See Also, which stand there without their rooms."""
    domain, name = env.domains["py"], node["reftarget"].lstrip("~")
    full = [
        known
        for known, entry in domain.objects.items()
        if known.rpartition(".")[2] == name and not entry.aliased
    ]
    if node.get("refdomain") != "py" or len(full) != 1:
        return None
    page = domain.objects[full[0]]
    return make_refnode(app.builder, node["refdoc"], page.docname, page.node_id, content, full[0])


def setup(app: Any) -> None:
    """Be called by Sphinx."""
    app.connect("missing-reference", by_short_name)
    app.connect("autodoc-process-docstring", escape_stars)


write_pages(HERE)  # the reference and the command line, before Sphinx looks for pages
draw_pictures(HERE / "home")
