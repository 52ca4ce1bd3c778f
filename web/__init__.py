"""The HTTP face: events and webhooks in, the API, the stream, metrics; no state of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..app import App
    from .tokens import Tokens as TokenSet


def asgi(app: App, *, tokens: TokenSet | None = None, base_path: str = "") -> Any:
    """An open App as an ASGI application, to be served or mounted by any ASGI program.

    `tokens`: who may without being on loopback; by default those of the project and of REACTOR_TOKENS. Raises
    ConfigError if they cannot be read.
    """
    from .front import front

    return front(app, tokens, base_path)
