"""`email`: one message by SMTP. Source: actions.md, section 3 (email); RFC 5322."""

from __future__ import annotations

import asyncio
import mimetypes
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
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
    message["Subject"] = given.subject
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


def address_of(text: str, where: str) -> Address:
    """`name <a@b>` or `a@b`. Raises StepError `invalid_input`."""
    if _CONTROL.search(text):
        raise StepError("invalid_input", f"an address in `{where}` holds a line break or another control character")
    name, spec = parseaddr(text)
    if "@" not in spec:
        raise StepError("invalid_input", f"`{text}` in `{where}` is no address: expected name@host")
    try:
        address = Address(name, addr_spec=spec)
    except (ValueError, IndexError) as e:
        raise StepError("invalid_input", f"`{text}` in `{where}` is no address: {e}") from None
    if not address.username or not address.domain:
        raise StepError("invalid_input", f"`{text}` in `{where}` is no address: expected name@host")
    return address


def _attach(message: EmailMessage, call: Call, attachments: list[Part]) -> None:
    room = ATTACHMENTS_BYTES_MAX
    for part in attachments:
        data = part.content(call, ATTACHMENTS_BYTES_MAX)
        room -= len(data)
        if room < 0:
            raise StepError("too_large", f"the attachments have more than {format_size(ATTACHMENTS_BYTES_MAX)} in all")
        name = part.file_name()
        if _CONTROL.search(name) or _CONTROL.search(part.type or ""):
            raise StepError("invalid_input", "an attachment's `name` or `type` holds a control character")
        kind = part.type or mimetypes.guess_type(name)[0] or "application/octet-stream"
        main, _, sub = kind.partition("/")
        if not main or not sub:
            raise StepError("invalid_input", f"`{kind}` is no media type: expected one such as application/pdf")
        message.add_attachment(data, maintype=main, subtype=sub, filename=name)
