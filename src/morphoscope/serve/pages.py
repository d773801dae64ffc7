"""The pages for people: templates filled with what the API answers to programs."""

from __future__ import annotations

import http
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from morphoscope.serve import page_words as words
from morphoscope.serve.page_api import api_routes

__all__ = ["error_page", "page", "page_routes"]

HERE = Path(__file__).parent
ALARM_STATES = ("open", "seen")
# What a person can do about it, where nobody has said it better.
DO = {
    404: "Check the address; kept answers are removed after some weeks.",
    405: "This address takes another kind of request; its documentation is at /api.",
    413: "Send a smaller file.",
    429: "Wait a little, then try again.",
    500: "Try again; if it happens again, tell whoever runs this server what you did.",
    502: "Try again later, or another survey.",
    503: "The server is busy: try again in a few seconds.",
    504: "Try again later, or another survey.",
}


class Static(StaticFiles):
    """Files that a browser asks about each time and seldom loads again.

    Modules import one another by plain names: after an update none may be older than the rest.
    """

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def page_routes() -> list[BaseRoute]:
    """Routes of all pages and of the files that they load.

    The handlers ask ``request.app.state.service``, and ``request.app.openapi()`` for the
    documentation.
    """
    return [
        Route("/", evaluate, name="page-evaluate"),
        Route("/r/{id}", result, name="page-result"),
        Route("/jobs", jobs, name="page-jobs"),
        Route("/jobs/{id}", job, name="page-job"),
        Route("/models", models, name="page-models"),
        Route("/models/{name}", model, name="page-model"),
        Route("/alarms", alarms, name="page-alarms"),
        Route("/api", documentation, name="page-api"),
        Mount("/static", Static(directory=HERE / "static"), name="static"),
    ]


def error_page(
    request: Request, status: int, found: str, expected: str = "", do: str = ""
) -> HTMLResponse:
    """An error as a page.

    Parameters
    ----------
    request
        What was asked.
    status
        HTTP status.
    found, expected, do
        As in `MorphoscopeError`; where ``do`` is empty, what helps with such a status.

    Returns
    -------
    HTMLResponse
        Of that status.
    """
    try:
        title = http.HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    facts = {"found": found, "expected": expected, "do": do or DO.get(status, "")}
    return page(request, "error.html", "", status=status, code=status, title=title, **facts)


def evaluate(request: Request) -> Response:
    """One image, from a file or the sky, and what the models say."""
    service = request.app.state.service
    return page(
        request,
        "evaluate.html",
        "/api/v1/models",
        models=service.models(),
        surveys=service.surveys(),
        limits=service.limits(),
    )


def result(request: Request) -> Response:
    """A kept answer."""
    name = request.path_params["id"]
    try:
        answer = request.app.state.service.result(name)
    except KeyError as error:
        return _unknown(request, error, f"There is no kept answer {name}.")
    return page(request, "result.html", f"/api/v1/results/{name}", answer=answer, id=name)


def jobs(request: Request) -> Response:
    """Upload a table, and the tables under work.

    The list is asked for by the page's script, with the token that says whose jobs they are.
    """
    service = request.app.state.service
    facts = {"models": service.models(), "surveys": service.surveys(), "limits": service.limits()}
    return page(request, "jobs.html", "/api/v1/jobs", **facts)


def job(request: Request) -> Response:
    """How far a table is, and its results."""
    name = request.path_params["id"]
    try:
        found = request.app.state.service.job(name)
    except KeyError as error:
        return _unknown(request, error, f"There is no job {name}.")
    return page(request, "job.html", f"/api/v1/jobs/{name}", job=found)


def models(request: Request) -> Response:
    """All models."""
    found = request.app.state.service.models()
    return page(request, "models.html", "/api/v1/models", models=found)


def model(request: Request) -> Response:
    """A model and its card."""
    name = request.path_params["name"]
    for one in request.app.state.service.models():
        if one["name"] == name:
            card = words.card_html(one["card"])
            return page(request, "model.html", f"/api/v1/models/{name}", model=one, card=card)
    return _unknown(request, KeyError(name), f"There is no model {name}.")


def alarms(request: Request) -> Response:
    """Answers that people should look at.

    The list is asked for by the page's script: what others have sent is not for everybody.
    """
    state = request.query_params.get("state", ALARM_STATES[0])
    if state not in ALARM_STATES:
        return error_page(request, 404, f"There is no list of alarms called {state}.")
    query = f"/api/v1/alarms?state={state}"
    return page(request, "alarms.html", query, state=state, states=ALARM_STATES)


def documentation(request: Request) -> Response:
    """The API, from the document that describes it to programs."""
    groups = api_routes(request.app.openapi(), str(request.base_url).rstrip("/"))
    return page(request, "api.html", "/api/v1/openapi.json", groups=groups)


def _unknown(request: Request, error: KeyError, found: str) -> HTMLResponse:
    """404 in the words of the error, if it has any."""
    said = {key: getattr(error, key, "") for key in ("expected", "do")}
    return error_page(request, 404, found, **said)


def page(
    request: Request, template: str, twin: str, *, status: int = 200, **facts: Any
) -> HTMLResponse:
    """A filled template; ``twin`` is the address of the same as JSON, empty where there is none."""
    service = request.app.state.service
    facts |= {
        "path": request.url.path,
        "twin": twin,
        "version": service.version(),
        "needs_token": service.needs_token(),
        "campaigns": bool(getattr(service, "campaigns", {})),
    }
    text = _environment().get_template(template).render(facts)
    return HTMLResponse(text, status)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        plain=words.plain,
        percent=words.percent,
        score=words.score,
        score_title=words.score_title,
        sentence=words.sentence,
        bytes=words.bytes_in_words,
        count=lambda value: f"{value:,}",
        moment=words.moment,
        position=words.position,
    )
    return environment
