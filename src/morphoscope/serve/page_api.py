"""The routes of the API as its page shows them, from the document that describes it."""

from __future__ import annotations

import json
import shlex
from typing import Any

__all__ = ["api_routes"]

METHODS = ("get", "post", "put", "patch", "delete")
PREFIX = "/api/v1"
# Shown in the example commands in place of a value.
SAMPLES: dict[str, str] = {
    "ra": "187.706",
    "dec": "12.391",
    "name": "M87",
    "id": "ID",
    "file": "@galaxy.jpg",
    "state": "seen",
    "X-Morphoscope": "label",
}
# A file of these routes is not an image.
TABLES = ("/jobs",)


def api_routes(document: dict[str, Any], address: str) -> dict[str, list[dict[str, Any]]]:
    """Routes of an OpenAPI document, by the first word of their path.

    Parameters
    ----------
    document
        OpenAPI 3.
    address
        Of the server, without slash at its end, for the example commands.

    Returns
    -------
    dict
        Of each word its routes: method, path, title, text, parameters, example.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, item in document.get("paths", {}).items():
        word = path.removeprefix(PREFIX).strip("/").split("/")[0]
        for method in METHODS:
            if method in item:
                shared = item.get("parameters", [])
                route = _route(document, method, path, item[method], shared, address)
                groups.setdefault(word, []).append(route)
    return groups


def _route(
    document: dict[str, Any],
    method: str,
    path: str,
    operation: dict[str, Any],
    shared: list[dict[str, Any]],
    address: str,
) -> dict[str, Any]:
    listed = [_resolved(document, p) for p in [*shared, *operation.get("parameters", [])]]
    parameters = [
        {
            "name": one["name"],
            "where": one["in"],
            "needed": one.get("required", False),
            "text": one.get("description", ""),
            **_kind(document, one.get("schema", {})),
        }
        for one in listed
        if one["in"] in ("path", "query", "header")
    ]
    body, form = _body(document, operation.get("requestBody", {}))
    return {
        "method": method.upper(),
        "path": path,
        "title": operation.get("summary", ""),
        "text": operation.get("description", ""),
        "parameters": parameters + body,
        "example": _example(method, address + path, path, parameters, body, form),
    }


def _resolved(document: dict[str, Any], one: dict[str, Any]) -> dict[str, Any]:
    """What a reference names."""
    while "$ref" in one:
        found: Any = document
        for part in one["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        one = found
    return one


def _kind(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Type, values allowed and default of a schema, in words."""
    schema = _resolved(document, schema)
    options = [_resolved(document, one) for one in schema.get("anyOf", [])]
    first = next((one for one in options if one.get("type") != "null"), schema)
    kind = "file" if first.get("format") == "binary" else first.get("type", "")
    if first.get("type") == "array":
        kind = f"several: {_kind(document, first.get('items', {}))['type']}"
    kind = "file" if "contentMediaType" in first else kind
    return {
        "type": kind + _limits(schema | first),
        "values": [json.dumps(v).strip('"') for v in schema.get("enum", first.get("enum", []))],
        "default": json.dumps(schema["default"]).strip('"') if schema.get("default") else "",
    }


def _limits(schema: dict[str, Any]) -> str:
    """What a number may be."""
    low, high = schema.get("minimum"), schema.get("maximum")
    below = schema.get("exclusiveMaximum")
    if high is None and below is None:
        return f", at least {low}" if low is not None else ""
    end = f"{high}" if high is not None else f"below {below}"
    return f", {low} to {end}" if low is not None else f", up to {end}"


def _body(document: dict[str, Any], request: dict[str, Any]) -> tuple[list[dict[str, Any]], bool]:
    """Fields of a request's body, and whether it is a form."""
    content = _resolved(document, request).get("content", {})
    for media, one in content.items():
        schema = _resolved(document, one.get("schema", {}))
        needed = schema.get("required", [])
        fields = [
            {
                "name": name,
                "where": "form" if media.startswith("multipart") else "JSON",
                "needed": name in needed,
                "text": _resolved(document, field).get("description", ""),
                **_kind(document, field),
            }
            for name, field in schema.get("properties", {}).items()
        ]
        return fields, media.startswith("multipart")
    return [], False


def _example(
    method: str,
    address: str,
    path: str,
    parameters: list[dict[str, Any]],
    body: list[dict[str, Any]],
    form: bool,
) -> str:
    """A curl command with what the route needs."""
    queried = [p for p in parameters if p["where"] == "query"]
    # Of several ways to say where a galaxy is, its name stands for all.
    needed = [p for p in queried if p["needed"] or p["name"] == "name"]
    query = "&".join(f"{p['name']}={_sample(p, path)}" for p in needed)
    for one in parameters:
        if one["where"] == "path":
            address = address.replace(f"{{{one['name']}}}", SAMPLES["id"])
    words = ["curl", *(["-X", method.upper()] if method not in ("get", "post") else [])]
    for one in parameters:
        if one["where"] == "header":
            words += ["-H", f"{one['name']}: {_sample(one, path)}"]
    if form:
        words += [w for p in body if p["needed"] for w in ("-F", f"{p['name']}={_sample(p, path)}")]
    elif body:
        sent = {p["name"]: _sample(p, path) for p in body}
        words += ["-H", "Content-Type: application/json", "-d", json.dumps(sent)]
    return shlex.join([*words, f"{address}?{query}" if query else address])


def _sample(one: dict[str, Any], path: str) -> str:
    """A value of a parameter that shows what it looks like."""
    if "file" in one["type"]:
        return "@table.csv" if path.endswith(TABLES) else "@galaxy.jpg"
    if one["values"]:
        return str(SAMPLES.get(one["name"], one["values"][0]))
    name: str = one["name"]
    return SAMPLES.get(name, name.upper())
