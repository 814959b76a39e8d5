"""A plan as HTML: a piece for notebooks, and a page of its own."""

from __future__ import annotations

from tunekit.launcher.history import MeasuredBefore
from tunekit.planner.plan import Plan
from tunekit.render.pages.parts import Section
from tunekit.render.pages.plan_view import plan_view
from tunekit.render.pages.writing import fragment, page
from tunekit.render.plan_parts import PYTHON_TRUST


def plan_html(plan: Plan) -> str:
    """The plan as one `<div>`; every text from outside is escaped."""
    return fragment(plan_view(plan, trust_typed=PYTHON_TRUST))


def plan_page(
    plan: Plan,
    priced: tuple[Section, ...] = (),
    before: MeasuredBefore | None = None,
    after: tuple[Section, ...] = (),
) -> str:
    """The plan as a whole page that loads nothing; `priced` is what renting costs (`compare_view`).

    `before` is a run that was the same or a similar job; `after` tells what to type next.
    """
    return page(plan_view(plan, priced=priced, before=before, after=after))
