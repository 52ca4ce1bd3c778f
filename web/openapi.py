"""`/api/openapi.json`: what the tables of endpoints say, as an OpenAPI 3.1 document."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from .endpoint import INT_DIGITS_MAX, Endpoint, Param
from .shapes import SHAPES

ROOT = "/api/v1"
_PLACE = re.compile(r"\{(\w+)(:\w+)?\}")
_TYPES: Mapping[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "texts": {"type": "array", "items": {"type": "string"}},
    "int": {"type": "integer", "minimum": 0, "maximum": 10**INT_DIGITS_MAX - 1},
    "bool": {"type": "boolean"},
    "instant": {"type": "string", "format": "date-time"},
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "maxLength": 255},
    "description": "the same key is the same act; a start with another body is refused (422)",
}
_PROBLEM: dict[str, Any] = {
    "description": "what is wrong, and what to do",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_PLAIN: dict[str, Any] = {"type": "object"}


def document(endpoints: Sequence[Endpoint], base: str) -> dict[str, Any]:
    """The whole document; `base` is where the paths begin."""
    bodies = [e.body for e in endpoints if e.body is not None]
    named, found = msgspec.json.schema_components(bodies, ref_template="#/components/schemas/{name}")
    body_of = dict(zip(bodies, named, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        path = ROOT + _PLACE.sub(r"{\1}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, body_of)
    paths.update(_beside())
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Reactor",
            "version": "1",
            "description": "Events in, runs out. Without a token only programs on the server's own machine are served.",
        },
        "servers": [{"url": base}],
        "paths": paths,
        "components": {
            "schemas": {**SHAPES, **found},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _operation(endpoint: Endpoint, bodies: Mapping[Any, Mapping[str, Any]]) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": found[1], "in": "path", "required": True, "schema": {"type": "string"}}
        for found in _PLACE.finditer(endpoint.path)
    ]
    parameters += [_param(param) for param in endpoint.query]
    if endpoint.keyed:
        parameters.append(_KEY)
    operation: dict[str, Any] = {
        "operationId": endpoint.handler.__name__,
        "summary": endpoint.summary,
        "tags": [endpoint.path.split("/")[1]],
        "description": f"Needs the scope `{endpoint.need}`.",
        "parameters": parameters,
        "responses": {str(endpoint.status): _answer(endpoint), "default": _PROBLEM},
    }
    if endpoint.text:
        text = {"schema": {"type": "string"}}
        operation["requestBody"] = {
            "required": True,
            "content": {"application/yaml": text, "application/json": {"schema": _PLAIN}},
        }
        operation["responses"]["201"] = operation["responses"]["200"]
    elif endpoint.method in ("POST", "PUT"):  # without its type no write is taken, whatever it holds
        schema: Mapping[str, Any] = {} if endpoint.body is None else bodies[endpoint.body]
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _param(param: Param) -> dict[str, Any]:
    schema = {**_TYPES[param.kind], **({"minimum": param.least} if param.kind == "int" else {})}
    if param.among:
        words = {"type": "string", "enum": list(param.among)}
        schema = {**schema, "items": words} if param.kind == "texts" else words
    found: dict[str, Any] = {"name": param.name, "in": "query", "description": param.help, "schema": schema}
    if param.required:
        found["required"] = True
    return {**found, "style": "form", "explode": False} if param.kind == "texts" else found


def _answer(endpoint: Endpoint) -> dict[str, Any]:
    if endpoint.status == 204:
        return {"description": "done"}
    schema = _PLAIN if endpoint.shape == "object" else {"$ref": f"#/components/schemas/{endpoint.shape}"}
    return {"description": "as asked", "content": {"application/json": {"schema": schema}}}


def _beside() -> dict[str, Any]:
    """What is no endpoint of the tables."""
    found = {"/events": _events(), "/hooks/{path}": _hooks(), f"{ROOT}/stream": {"get": _stream()}}
    for path, name, summary, kind in (
        ("/healthz", "healthz", "Does the process answer?", "application/json"),
        ("/readyz", "readyz", "Does it take events? 503 while the store refuses", "application/json"),
        ("/metrics", "metrics", "Counters and durations, for Prometheus", "text/plain"),
        ("/api/openapi.json", "openapi", "This document", "application/json"),
        ("/", "home", "A page that says what is here", "text/html"),
    ):
        answer: dict[str, Any] = {"description": "as asked", "content": {kind: {}}}
        found[path] = {
            "get": {"operationId": name, "summary": summary, "responses": {"200": answer, "default": _PROBLEM}}
        }
    return found


_TAKEN: dict[str, Any] = {
    "description": "durable",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Taken"}}},
}


def _events() -> dict[str, Any]:
    event: dict[str, Any] = {"$ref": "#/components/schemas/CloudEvent"}
    content = {
        "application/cloudevents+json": {"schema": event},
        "application/cloudevents-batch+json": {"schema": {"type": "array", "items": event}},
        "*/*": {},
    }
    return {
        "post": {
            "operationId": "post_events",
            "summary": "Hand in CloudEvents; answered once they are durable",
            "description": "Needs the scope `emit`. Binary mode: attributes as ce- headers, any body.",
            "requestBody": {"required": True, "content": content},
            "responses": {"202": _TAKEN, "default": _PROBLEM},
        },
        "options": {
            "operationId": "events_handshake",
            "summary": "The handshake of CloudEvents web hooks",
            "responses": {"200": {"description": "the sender may"}},
        },
    }


def _hooks() -> dict[str, Any]:
    path = {"name": "path", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        method: {
            "operationId": f"hook_{method}",
            "summary": "A request to an http trigger; its own keys say what it takes and answers",
            "parameters": [path, _KEY],
            "responses": {"202": _TAKEN, "default": _PROBLEM},
        }
        for method in ("get", "post", "put", "patch", "delete")
    }


def _stream() -> dict[str, Any]:
    keys = [
        {"name": name, "in": "query", "schema": {"type": "string"}}
        for name in ("workflow", "run", "type", "last_event_id")
    ]
    return {
        "operationId": "stream",
        "summary": "What happens, as Server-Sent Events; after a gap comes an event `reset`",
        "parameters": [{"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}}, *keys],
        "responses": {
            "200": {"description": "CloudEvents", "content": {"text/event-stream": {}}},
            "default": _PROBLEM,
        },
    }
