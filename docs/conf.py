"""The site: sphinx-build -W --keep-going -b html docs docs/_build"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

import cconv

project = "cconv"
author = "the cconv authors"
copyright = "the cconv authors"
version = release = cconv.__version__

extensions = [
    "sphinx.ext.autodoc",
    "myst_parser",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "row",
    "command",
    "pages",
]
exclude_patterns = ["_build", "_extensions", "examples", "**/sg_execution_times.rst", "sg_execution_times.rst"]
default_role = "code"
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]
suppress_warnings = ["myst.header", "myst.xref_missing"]

html_theme = "furo"
html_title = f"cconv {version}"
html_static_path = ["_static"]
html_css_files = ["cconv.css"]
html_show_sourcelink = False
html_show_sphinx = False
pygments_style = "friendly"

autodoc_typehints = "none"
autodoc_member_order = "alphabetical"
autodoc_default_options = {"members": True, "imported-members": True}
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
numpydoc_xref_param_type = False

sphinx_gallery_conf = {
    "examples_dirs": ["examples/by_hand", "examples/networks"],
    "gallery_dirs": ["generated/by_hand", "generated/networks"],
    "filename_pattern": r"\.py$",
    "image_scrapers": ("matplotlib", "pages.figures"),
    "capture_repr": ("_repr_html_", "__repr__"),
    "abort_on_example_error": False,
    "download_all_examples": False,
    "show_memory": False,
    "min_reported_time": 3600,
    "write_computation_times": False,
    "remove_config_comments": True,
    "copyfile_regex": r".*\.rst",
}
