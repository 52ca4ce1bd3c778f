"""`email`: one message by SMTP. Source: actions.md, section 3 (email); RFC 5322."""

from __future__ import annotations

import asyncio
import mimetypes
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from email import policy
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, Field

from ...connections.fields import Keys
from ...connections.smtp import SmtpConnection
from ...core.durations import format_size
from ...core.ids import fresh_id
from ...core.limits import MIB
from .contract import ActionBase, Call, StepError
from .payload import Part

ATTACHMENTS_BYTES_MAX = 25 * MIB
RECIPIENTS_MAX = 1_000
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]")
_ATOM = r"[^\s()<>\[\]:;@\\,.\"]+"
_ADDRESS = re.compile(rf"({_ATOM}(?:\.{_ATOM})*)@({_ATOM}(?:\.{_ATOM})*|\[[0-9A-Fa-f:.]+\])")
_WORD = r"[A-Za-z0-9!#$&^_.+-]+"
_MEDIA_TYPE = re.compile(rf"({_WORD})/({_WORD}(?:\s*;\s*{_WORD}={_WORD})*)")
_ENCODED = "=?"
"""How an encoded word begins (RFC 2047). The library decodes those in what it is given, line breaks included, and some
of its versions then write these as they are: a header of the sender's choice."""


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Addresses = Annotated[list[str], BeforeValidator(_listed, json_schema_input_type=str | list[str])]


class EmailInput(Keys):
    """`with` of `email`."""

    connection: str | None = Field(default=None, min_length=1)
    to: Annotated[Addresses, Field(min_length=1)]
    cc: Addresses = Field(default_factory=list)
    bcc: Addresses = Field(default_factory=list)
    reply_to: Addresses = Field(default_factory=list)
    from_: str | None = Field(default=None, alias="from")
    subject: str
    text: str | None = None
    html: str | None = None
    attachments: list[Part] = Field(default_factory=list[Part])


class EmailAction(ActionBase):
    """Sends mail."""

    name: ClassVar[str] = "email"
    Input: ClassVar[type[BaseModel] | None] = EmailInput
    timeout_s: ClassVar[float | None] = 30.0
    errors: ClassVar[tuple[str, ...]] = (
        *("smtp", "connection", "timeout", "tls", "unauthorized", "invalid_input", "too_large", "missing_connection"),
        *("file_not_found", "forbidden"),
    )
    key_goes: ClassVar[str] = "in `Message-ID`; a repeat may be sent twice"
    output: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "message_id": {"type": "string"},
            "accepted": {"type": "array", "items": {"type": "string"}},
            "refused": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "address": {"type": "string"},
                        "code": {"type": "integer"},
                        "message": {"type": "string"},
                    },
                },
            },
        },
        "required": ["message_id", "accepted", "refused"],
        "additionalProperties": False,
    }

    def check(self, with_: Any) -> list[tuple[str, str]]:
        """A message without a body."""
        if isinstance(with_, Mapping) and "text" not in with_ and "html" not in with_:
            return [("", "`text` or `html` is missing: what is to be said?")]
        return []

    async def execute(self, call: Call) -> dict[str, Any]:
        """Send it; the output once the server has taken it."""
        given: EmailInput = call.inputs
        if given.text is None and given.html is None:
            raise StepError("invalid_input", "email: `text` or `html` is missing: what is to be said?")
        if call.services is None:
            raise StepError("missing_connection", "no connection of kind `smtp` is declared")
        connection: SmtpConnection = call.services.connection("smtp", given.connection)
        message, sender, recipients = await asyncio.to_thread(_composed, call, given, connection.config.from_)
        refused = await connection.deliver(message, sender, recipients)
        gone = {refusal.address for refusal in refused}
        return {
            "message_id": str(message["Message-ID"]),
            "accepted": [address for address in recipients if address not in gone],
            "refused": [{"address": r.address, "code": r.code, "message": r.message} for r in refused],
        }


def _composed(call: Call, given: EmailInput, own: str | None) -> tuple[EmailMessage, str, list[str]]:
    """The message, the envelope's sender and its recipients."""
    written = given.from_ or own
    if written is None:
        raise StepError("invalid_input", "`from` is missing, and the connection has none")
    if _CONTROL.search(given.subject):
        raise StepError("invalid_input", "`subject` holds a line break or another control character")
    sender = address_of(written, "from")
    lists = {
        name: [address_of(text, name) for text in getattr(given, name)] for name in ("to", "cc", "bcc", "reply_to")
    }
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = sender
    message["To"] = tuple(lists["to"])
    for name, header in (("cc", "Cc"), ("reply_to", "Reply-To")):
        if lists[name]:
            message[header] = tuple(lists[name])
    message["Subject"] = _literal(given.subject)
    message["Date"] = format_datetime(datetime.fromtimestamp(call.clock.now(), UTC))
    message["Message-ID"] = f"<{call.key or fresh_id()}@{sender.domain}>"
    if given.text is not None:
        message.set_content(given.text)
        if given.html is not None:
            message.add_alternative(given.html, subtype="html")
    else:
        message.set_content(given.html or "", subtype="html")
    _attach(message, call, given.attachments)
    addresses = [address.addr_spec for name in ("to", "cc", "bcc") for address in lists[name]]
    recipients = list(dict.fromkeys(addresses))
    if len(recipients) > RECIPIENTS_MAX:
        raise StepError(
            "too_large", f"the message has {len(recipients)} recipients; at most {RECIPIENTS_MAX} are taken"
        )
    return message, sender.addr_spec, recipients


def _literal(subject: str) -> str:
    """What the library reads as this very text."""
    return Header(subject, "utf-8", maxlinelen=sys.maxsize).encode() if _ENCODED in subject else subject


def address_of(text: str, where: str) -> Address:
    """One address, `name <a@b>` or `a@b`; a domain that is not ASCII becomes its A-labels. Raises StepError
    `invalid_input`.

    It is read strictly: the library's own reader leaves out what it does not understand, and a message would go to some
    of its recipients, or to others.
    """
    if _CONTROL.search(text):
        raise StepError("invalid_input", f"an address in `{where}` holds a line break or another control character")
    name, spec = "", text.strip()
    if spec.endswith(">"):
        name, _, spec = spec[:-1].rpartition("<")
        name, spec = _unquoted(name.strip()), spec.strip()
    found = _ADDRESS.fullmatch(spec)
    if found is None or "@" in name or _ENCODED in name:
        hint = "one address each, as name@host or Name <name@host>; several are a list"
        raise StepError("invalid_input", f"`{text}` in `{where}` is no address: expected name@host", hint=hint)
    local, domain = found.groups()
    if not local.isascii():
        raise StepError("invalid_input", f"`{text}` in `{where}`: what is before the @ must be ASCII")
    try:
        domain = domain if domain.isascii() else domain.encode("idna").decode()
    except UnicodeError:
        raise StepError("invalid_input", f"`{text}` in `{where}`: `{domain}` cannot be the name of a host") from None
    return Address(name, local, domain)


def _unquoted(name: str) -> str:
    if len(name) > 1 and name[0] == name[-1] == '"':
        return re.sub(r"\\(.)", r"\1", name[1:-1])
    return name


def _attach(message: EmailMessage, call: Call, attachments: list[Part]) -> None:
    room = ATTACHMENTS_BYTES_MAX
    for part in attachments:
        data = part.content(call, ATTACHMENTS_BYTES_MAX)
        room -= len(data)
        if room < 0:
            raise StepError("too_large", f"the attachments have more than {format_size(ATTACHMENTS_BYTES_MAX)} in all")
        name = part.file_name()
        if _CONTROL.search(name) or _ENCODED in name:
            raise StepError("invalid_input", "an attachment's `name` holds a control character or an encoded word")
        kind = part.type or mimetypes.guess_type(name)[0] or "application/octet-stream"
        found = _MEDIA_TYPE.fullmatch(kind)
        if found is None or found[1].lower() == "multipart":
            raise StepError("invalid_input", f"`{kind}` is no file's media type: expected one such as application/pdf")
        message.add_attachment(data, maintype=found[1], subtype=found[2], filename=name)
