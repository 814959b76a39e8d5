"""Views become HTML through the templates of this folder: everything from outside is escaped, nothing is loaded."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tunekit.render.pages.parts import View

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).with_name("templates")


def page(view: View) -> str:
    """A whole page of its own."""
    return _write("page.html.j2", view)


def fragment(view: View) -> str:
    """One `<div>` for a notebook: the same pictures, in the colours of the page that shows it."""
    return _write("fragment.html.j2", view)


def _write(template: str, view: View) -> str:
    return _environment().get_template(template).render(view=view)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
