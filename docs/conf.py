"""The documentation site: `sphinx-build -W docs outputs/site`."""

import inspect
import os
import re
import sys
import typing
from importlib import metadata
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util.inspect import stringify_signature
from sphinx.writers.html5 import HTML5Translator

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

import pages  # noqa: E402

os.environ["OMP_NUM_THREADS"] = "1"  # of the notebooks: their problems are small

project = "pdekan"
author = "pdekan developers"
project_copyright = f"{author}; MIT licence"
version = release = metadata.version("pdekan")
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx_copybutton", "sphinx_design"]
exclude_patterns = ["**/.ipynb_checkpoints"]

html_theme = "furo"
html_math_renderer = "mathml"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_title = f"pdekan {release}"
html_theme_options = {"source_repository": pages.REPOSITORY, "source_branch": "main", "source_directory": "docs/"}

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 4
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_execution_timeout = 60

autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
copybutton_exclude = ".linenos, .gp, .go"

_OUTSIDE = re.compile(r"(?<!!)(\[[^\]]*\])\(\.\./([^)]+)\)")


def _inside(app: Sphinx, name: str, text: list[str]) -> None:
    """Links out of this folder, which a reader of the files follows: to the site's own pages, or to the repository."""

    def target(link: re.Match[str]) -> str:
        words, path = link.groups()
        if table := re.fullmatch(r"tests/benchmarks/(\w+\.md)", path):
            return f"{words}({'../' * name.count('/')}generated/benchmarks/{table[1]})"
        return f"{words}({pages.REPOSITORY}/blob/main/{path.lstrip('./')})"

    text[0] = _OUTSIDE.sub(target, text[0])


def _escaped(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Norms in docstrings are no substitutions."""
    lines[:] = [line.replace("|", r"\|") for line in lines]


def _signature(
    app: Sphinx, what: str, name: str, thing: object, options: object, given: str | None, returned: str | None
) -> tuple[str, str | None] | None:
    """Signatures without the limits of options, which are metadata of annotations."""
    try:
        signature = inspect.signature(thing)
        hints = typing.get_type_hints(thing.__init__ if inspect.isclass(thing) else thing)
    except (
        AttributeError,
        NameError,
        TypeError,
        ValueError,
    ):  # names that are imported for type checkers alone; what has no signature
        return None
    parameters = [
        one.replace(annotation=hints.get(one.name, one.annotation))
        for one in signature.parameters.values()
        if one.name != "self"
    ]
    result = inspect.Signature.empty if inspect.isclass(thing) else hints.get("return", inspect.Signature.empty)
    plain = signature.replace(parameters=parameters, return_annotation=result)
    return stringify_signature(plain, unqualified_typehints=True), None


def _inline_math(translator: HTML5Translator, node: nodes.math) -> None:
    translator.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def _displayed_math(translator: HTML5Translator, node: nodes.math_block) -> None:
    translator.body.append(f"<div>{tex2mathml(node.astext(), as_block=True)}</div>")
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("builder-inited", lambda app: pages.write(DOCS / "generated"))
    app.connect("source-read", _inside)
    app.connect("autodoc-process-docstring", _escaped)
    app.connect("autodoc-process-signature", _signature)
    app.add_html_math_renderer("mathml", (_inline_math, None), (_displayed_math, None))
