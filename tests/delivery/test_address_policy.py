"""Webhooks go to public addresses, and to private ones on the partner's allow list."""

from ipaddress import ip_address, ip_network

import pytest

from app.delivery.address_policy import may_connect


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "52.95.110.1", "172.15.0.1", "172.32.0.1", "2606:4700:4700::1111", "2400:cb00::1"],
)
def test_public_address_is_allowed(address: str) -> None:
    assert may_connect(address, ())
    assert may_connect(ip_address(address), ())


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.0.9",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "192.175.48.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
    ],
)
def test_non_public_ipv4_address_is_refused_in_both_spellings(address: str) -> None:
    assert not may_connect(address, ())
    assert not may_connect(f"::ffff:{address}", ())


@pytest.mark.parametrize(
    "address",
    [
        "::",
        "::1",
        "::7f00:1",
        "::127.0.0.1",
        "::8.8.8.8",
        "64:ff9b::8.8.8.8",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "2002:808:808::1",
        "2620:4f:8000::1",
        "3fff::1",
        "3ffe::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
    ],
)
def test_private_or_embedding_ipv6_address_is_refused(address: str) -> None:
    assert not may_connect(address, ())


def test_ipv4_mapped_address_is_checked_as_ipv4() -> None:
    allow_list = (ip_network("10.0.0.0/8"),)

    assert may_connect("::ffff:8.8.8.8", ())
    assert may_connect("::ffff:10.1.2.3", allow_list)
    assert not may_connect("::ffff:10.1.2.3", (ip_network("::/0"),))


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("127.0.0.1", "127.0.0.0/8"),
        ("10.20.30.40", "10.20.30.40/32"),
        ("169.254.169.254", "0.0.0.0/0"),
        ("::1", "::1/128"),
        ("fd00::5", "fd00::/8"),
    ],
)
def test_allow_list_allows_its_addresses(address: str, allowed: str) -> None:
    assert may_connect(address, (ip_network("192.168.0.0/16"), ip_network(allowed)))


def test_allow_list_allows_no_other_address() -> None:
    assert not may_connect("127.0.0.1", (ip_network("127.0.0.2/32"), ip_network("::1/128")))
    assert may_connect("8.8.8.8", (ip_network("127.0.0.0/8"),))


@pytest.mark.parametrize(
    "address",
    [
        "fe80::1%eth0",
        "::1%1",
        "2606:4700::1%lo",
        "",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f.1",
        "010.0.0.1",
    ],
)
def test_invalid_address_is_refused_despite_the_allow_list(address: str) -> None:
    assert not may_connect(address, (ip_network("0.0.0.0/0"), ip_network("::/0")))
