"""`/`: a plain page that says what is here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..app import App

_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Reactor</title><meta name="viewport" content="width=device-width">
<style>body{{font:16px/1.6 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}}
code{{background:#8882;padding:.1em .3em;border-radius:.2em}}dt{{font-weight:600}}</style></head>
<body><h1>Reactor</h1>
<p>Workflows in force: {workflows}. Triggers: {triggers}.</p>
<dl>
<dt><a href="{base}/api/openapi.json">/api/openapi.json</a></dt><dd>everything that the API takes and gives</dd>
<dt><a href="{base}/api/v1/workflows">/api/v1/workflows</a>, <a href="{base}/api/v1/runs">runs</a>,
<a href="{base}/api/v1/events">events</a>, <a href="{base}/api/v1/triggers">triggers</a>,
<a href="{base}/api/v1/dead-letters">dead letters</a></dt><dd>what there is now</dd>
<dt><a href="{base}/api/v1/stream">/api/v1/stream</a></dt><dd>what happens, as it happens</dd>
<dt>/events, /hooks/…</dt><dd>where CloudEvents and webhooks come in</dd>
<dt><a href="{base}/metrics">/metrics</a>, <a href="{base}/healthz">/healthz</a>,
<a href="{base}/readyz">/readyz</a></dt>
<dd>for those who watch over it</dd>
</dl></body></html>
"""


def page(app: App, base: str) -> bytes:
    """The page; `base` is the path that the application is mounted at."""
    return _PAGE.format(
        workflows=len(list(app.engine.workflows.names())), triggers=len(app.supervisor.readers), base=base
    ).encode()
