"""A search as HTML: a piece for notebooks, and a page of its own."""

from __future__ import annotations

from tunekit.planner.search_result import SearchResult
from tunekit.render.pages.parts import Section
from tunekit.render.pages.search_view import search_view
from tunekit.render.pages.writing import fragment, page


def search_html(found: SearchResult) -> str:
    """The search as one `<div>`; every text from outside is escaped."""
    return fragment(search_view(found))


def search_page(found: SearchResult, priced: tuple[Section, ...] = (), after: tuple[Section, ...] = ()) -> str:
    """The search as a whole page that loads nothing.

    `priced` is what renting costs (`compare_view`); `after` tells what to type next.
    """
    return page(search_view(found, priced, after))
