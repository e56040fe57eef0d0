"""Which addresses a webhook may connect to.

`ipaddress.is_global` of Python 3.11 also passes translators, tunnels and multicast, behind which a private
network may be reached; so only what is listed here passes, and a partner's allow-list adds to it.
Source: the IANA special-purpose address registries for IPv4 and IPv6.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_UNICAST = IPv6Network("2000::/3")
_NEVER = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments: Teredo (2001::/32), benchmarking, ORCHID, anycast services
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: carries an IPv4 address of anyone's choice
        "2620:4f:8000::/48",  # AS112: answers for private zones
        "3fff::/20",  # documentation
        "3ffe::/16",  # 6bone, returned
    )
)
_NEVER_IPV4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",
        "168.63.129.16/32",  # public by number, but the host's own service on Azure
        "169.254.0.0/16",  # link-local, and the metadata services of clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
    )
)


def may_connect(address: str | Address, allowed: Sequence[Network]) -> bool:
    """Whether a webhook may be sent to this address.

    Global unicast addresses may be used, others only inside a network of `allowed` (the partner's
    allow-list). An IPv4-mapped IPv6 address is judged as the IPv4 address in it. Anything that is not a plain
    address, with a zone id for instance, is refused. Never raises.
    """
    plain = plain_address(address)
    if plain is None:
        return False
    if any(plain in network for network in allowed):
        return True
    if isinstance(plain, IPv4Address):
        return plain.is_global and not any(plain in block for block in _NEVER_IPV4)
    return plain.is_global and plain in _UNICAST and not any(plain in block for block in _NEVER)


def plain_address(address: str | Address) -> Address | None:
    """The address itself, an IPv4-mapped one as IPv4; None if it is not an address or carries a zone id."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address):
        if parsed.scope_id is not None:
            return None
        return parsed.ipv4_mapped or parsed
    return parsed
