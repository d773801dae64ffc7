"""The pages of the label desk: campaigns, measure, sign in, one's own data, the coordinator's view.

They hold what everybody may know, the campaign's title and task; the rest is asked for by scripts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from morphoscope.serve import pages

__all__ = ["label_routes"]

API = "/api/v1/campaigns"
# Name of a page, its template, and what says the same to a program.
OF_CAMPAIGN = (
    ("", "label-measure.html", ""),
    ("sign-in", "label-sign-in.html", ""),
    ("me", "label-me.html", "/me"),
    ("dashboard", "label-dashboard.html", "/statistics"),
)


def label_routes() -> list[BaseRoute]:
    """Routes of the label desk's pages.

    The handlers ask ``request.app.state.service.campaigns``: desks by name, each with the
    ``campaign`` that it serves.
    """
    named: list[BaseRoute] = [
        Route(
            f"/label/{{campaign}}/{page}" if page else "/label/{campaign}",
            _page_of_campaign(template, twin),
            name=f"page-label-{page or 'measure'}",
        )
        for page, template, twin in OF_CAMPAIGN
    ]
    return [Route("/label", campaigns, name="page-label"), *named]


def campaigns(request: Request) -> Response:
    """All campaigns of this server."""
    found = {name: desk.campaign for name, desk in _desks(request).items()}
    return pages.page(request, "label-campaigns.html", API, found=found)


def _page_of_campaign(template: str, twin: str) -> Callable[[Request], Response]:
    """Fill a template with the campaign that an address names."""

    def filled(request: Request) -> Response:
        name = request.path_params["campaign"]
        desk = _desks(request).get(name)
        if desk is None:
            do = "See /label for the campaigns of this server."
            return pages.error_page(request, 404, f"There is no campaign {name}.", do=do)
        address = f"/label/{quote(name, safe='')}"
        same = f"{API}/{quote(name, safe='')}{twin}"
        return pages.page(request, template, same, campaign=desk.campaign, address=address)

    return filled


def _desks(request: Request) -> dict[str, Any]:
    found: dict[str, Any] = getattr(request.app.state.service, "campaigns", {})
    return found
