"""Whatever goes wrong, in one shape of JSON and with the right status."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from morphoscope.errors import (
    CampaignError,
    CatalogueError,
    ImageError,
    MorphoscopeError,
    OverloadError,
    PersonError,
    RequestError,
    ServiceError,
    TokenError,
    UnknownError,
    VoteError,
)
from morphoscope.serve.archives import STATUS_OF_CODE
from morphoscope.serve.limits import HEADERS
from morphoscope.serve.pages import error_page
from morphoscope.serve.shapes import Problem

__all__ = ["answers", "problem_of", "register"]

LOG = logging.getLogger("morphoscope.serve")
RETRY_S = 1
# Status by the word of an error, before that of its class.
CODES = {
    "not_an_image": 415,
    **dict.fromkeys(("signed_out", "wrong_password", "unknown_link"), 401),
    **dict.fromkeys(("name_taken", "last_coordinator"), 409),
    **dict.fromkeys(("bad_name", "bad_password"), 422),
    **STATUS_OF_CODE,
}
CLASSES: tuple[tuple[type[MorphoscopeError], int, str], ...] = (
    (ImageError, 422, "unreadable"),
    (CatalogueError, 422, "bad_table"),
    (RequestError, 400, "bad_request"),
    (TokenError, 401, "token"),
    (UnknownError, 404, "unknown"),
    (PersonError, 403, "forbidden"),
    (VoteError, 422, "bad_vote"),
    (CampaignError, 409, "campaign"),
    (OverloadError, 503, "overload"),
    (ServiceError, 502, "archive"),
)
WORDS = {404: "unknown", 405: "method", 400: "bad_request", 406: "not_acceptable"}


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Problems that a route may answer with, for the documentation."""
    return {
        status: {"model": Problem, "description": HTTPStatus(status).phrase}
        for status in sorted({*statuses, 400, 413, 422, 429, 503})
    }


def problem_of(error: MorphoscopeError) -> dict[str, Any]:
    """The inside of ``{"error": …}``."""
    status, code = next(
        ((status, code) for kind, status, code in CLASSES if isinstance(error, kind)),
        (500, "failed"),
    )
    code = str(error.data.get("code") or error.data.get("reason") or code)
    # What an archive answered is no answer of ours.
    own = None if isinstance(error, ServiceError) else error.data.get("status")
    status = int(str(own or CODES.get(code, status)))
    # Where the database is and who asks it is for the log.
    away = code == "database"
    return {
        "status": status,
        "code": code,
        "found": "the campaign's database does not answer" if away else error.found,
        "expected": error.expected,
        "do": "try again in a moment" if away else error.do,
    }


def register(app: FastAPI) -> None:
    """Answer every kind of error in its shape."""
    app.add_exception_handler(MorphoscopeError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _of_framework)
    app.add_exception_handler(Exception, _unexpected)


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, MorphoscopeError)
    problem = problem_of(error)
    if problem["status"] >= 500 and not isinstance(error, OverloadError | ServiceError):
        LOG.error("request failed", exc_info=error)
    headers = {}
    if problem["status"] in (429, 503):
        headers["Retry-After"] = str(error.data.get("retry_s", RETRY_S))
    if problem["status"] == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return _answer(request, problem, headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    problem = {
        "status": 422,
        "code": "bad_value",
        "found": f"{place}: {first['msg']}",
        "expected": "",
        "do": "see /api for what this route takes",
    }
    return _answer(request, problem, {})


async def _of_framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    # What our own limits raise while a body is read comes wrapped.
    if isinstance(error.__cause__, MorphoscopeError):
        return await _ours(request, error.__cause__)
    problem = {
        "status": error.status_code,
        "code": WORDS.get(error.status_code, "failed"),
        "found": f"{request.method} {request.url.path}: {error.detail}",
        "expected": "",
        "do": "see /api for the routes" if error.status_code in (404, 405) else "",
    }
    return _answer(request, problem, dict(error.headers or {}))


async def _unexpected(request: Request, error: Exception) -> Response:
    LOG.error("unexpected error", exc_info=error)
    problem = {
        "status": 500,
        "code": "failed",
        "found": "the server met an error of its own",
        "expected": "",
        "do": "tell the operator the time; the log has more",
    }
    # This answer leaves outside of all middleware.
    return _answer(request, problem, {**HEADERS, "Cache-Control": "no-store"})


def _answer(request: Request, problem: dict[str, Any], headers: dict[str, str]) -> Response:
    path = request.url.path
    wants = request.headers.get("accept", "")
    if not path.startswith(("/api/", "/metrics")) and "text/html" in wants:
        page = error_page(
            request, problem["status"], problem["found"], problem["expected"], problem["do"]
        )
        page.headers.update(headers)
        return page
    return JSONResponse({"error": problem}, problem["status"], headers)
