"""Which addresses a request may go to, judged after name resolution: metadata services never, private ones on demand.

Source: language.md section 7 ("Who may"), actions.md section 2 (`blocked_address`).
"""

from __future__ import annotations

import ipaddress
from typing import Literal

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in ("169.254.169.254", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "192.0.0.192", "168.63.129.16")
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def literal(host: str) -> Address | None:
    """The address that a host in a URL is, None if it is a name."""
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


def innermost(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one (mapped, 6to4, Teredo, NAT64), for it is where packets end up."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64 or (int(address) >> 32 == 0 and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def verdict(address: Address, *, private_refused: bool) -> Literal["", "metadata", "link-local", "private"]:
    """Why this address is refused; empty if it may be reached. `private` is all that is not public."""
    inner = innermost(address)
    if address in _METADATA or inner in _METADATA:
        return "metadata"
    if address.is_link_local or inner.is_link_local:
        return "link-local"
    if private_refused and (not inner.is_global or (not address.is_global and inner is address) or inner.is_multicast):
        return "private"
    return ""
