"""Tokens for `sasl: {mechanism: OAUTHBEARER}`: OAuth 2.0 client credentials (RFC 6749, section 4.4)."""

from __future__ import annotations

import base64
from typing import Any, cast

from aiokafka.abc import AbstractTokenProvider

from ..core.errors import ConfigError, StepError
from .configs import KafkaSasl
from .http import HttpConnection


class TokenProvider(AbstractTokenProvider):
    """Fetches a token each time a broker asks for one: that is once for each connection."""

    def __init__(self, name: str, sasl: KafkaSasl) -> None:
        if sasl.token_url is None or sasl.client_id is None or sasl.client_secret is None:
            raise ConfigError("`sasl` with OAUTHBEARER needs `token_url`, `client_id` and `client_secret`", path="sasl")
        self._name = name
        self._url = sasl.token_url
        self._pair = base64.b64encode(f"{sasl.client_id}:{sasl.client_secret}".encode()).decode()
        self._scope = sasl.scope

    async def token(self) -> str:
        """A fresh token. Raises StepError `unauthorized`, TransientError."""
        form = {"grant_type": "client_credentials", **({"scope": self._scope} if self._scope else {})}
        headers = {"Authorization": f"Basic {self._pair}", "Accept": "application/json"}
        http = HttpConnection(self._name, None)
        try:
            async with http.request(
                "POST", self._url, headers=headers, body=form, redirects=0, timeout_s=30.0, own=False
            ) as response:
                answer: Any = await response.json(content_type=None) if response.status == 200 else {}
                token: Any = cast("dict[str, Any]", answer).get("access_token") if isinstance(answer, dict) else None
                if not isinstance(token, str):
                    raise StepError("unauthorized", f"{self._url} gave no token: it answered {response.status}")
                return token
        finally:
            await http.close()
