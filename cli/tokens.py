"""token create, list, revoke: who may speak to the HTTP API from elsewhere."""

from __future__ import annotations

from ..core.errors import PermanentError
from ..web.tokens import Tokens
from . import output
from .parsing import Given


def create(given: Given) -> None:
    """Make one; its text goes to stdout, this once."""
    name, scopes = given.word("token"), given.many("scope") or ["read"]
    text = Tokens.of(given.project).add(name, scopes, given.many("role"))
    if given.output != "table":
        output.dump({"name": name, "scopes": scopes, "roles": given.many("role"), "token": text}, given.output)
        return
    print(text)
    output.note(f"this is the token `{name}`; nobody can show it again. Send it as `Authorization: Bearer …`")


def list_(given: Given) -> None:
    """Names and scopes."""
    rows = [
        {"name": each.name, "scopes": list(each.scopes), "roles": list(each.roles), "created_at": each.created_at}
        for each in Tokens.of(given.project).all
    ]
    if given.output != "table":
        output.dump(rows, given.output)
    elif rows:
        output.table(("name", "scopes", "roles", "created"), [tuple(row.values()) for row in rows])
    else:
        output.note("there are no tokens: only programs on this machine are served; `reactor token create NAME`")


def revoke(given: Given) -> None:
    """Take one back."""
    name, tokens = given.word("token"), Tokens.of(given.project)
    if all(token.name != name for token in tokens.all):
        there = ", ".join(token.name for token in tokens.all) or "none"
        raise PermanentError(f"there is no token `{name}`", code="not_found", hint=f"there are: {there}")
    tokens.remove(name)
    output.done({"name": name, "revoked": True}, given.output, f"the token `{name}` is revoked")
