import socket

import pytest

from pipelines.fetch.addresses import (
    AddressRefusedError,
    NoContactError,
    guard,
    is_inside,
    is_public,
    unwrap_address,
)


@pytest.mark.parametrize(
    ("address", "public", "inside"),
    [
        ("93.184.216.34", True, False),
        ("2606:2800:220:1:248:1893:25c8:1946", True, False),
        ("::ffff:93.184.216.34", True, False),
        ("64:ff9b::5db8:d822", True, False),
        ("127.0.0.1", False, True),
        ("127.255.255.254", False, True),
        ("::1", False, True),
        ("::ffff:127.0.0.1", False, True),
        ("64:ff9b::7f00:1", False, True),
        ("10.255.0.1", False, True),
        ("172.16.0.1", False, True),
        ("192.168.255.255", False, True),
        ("100.64.0.1", False, True),
        ("fd12::1", False, True),
        ("100.100.100.200", False, False),
        ("fd00:ec2::254", False, False),
        ("169.254.169.254", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("64:ff9b::a9fe:a9fe", False, False),
        ("2002:a9fe:a9fe::1", False, False),
        ("fe80::1", False, False),
        ("fe80::1%eth0", False, False),
        ("0.0.0.0", False, False),
        ("::", False, False),
        ("224.0.0.1", False, False),
        ("ff02::1", False, False),
        ("240.0.0.1", False, False),
        ("255.255.255.255", False, False),
        ("192.0.2.1", False, False),
        ("198.18.0.1", False, False),
        ("2001:db8::1", False, False),
    ],
)
def test_every_address_is_public_inside_or_closed(address, public, inside):
    """Public ones are open, inside ones by choice, all others never; disguises of IPv4 do not help."""
    found = unwrap_address(address)

    assert (public, inside) == (is_public(found), is_inside(found))


@pytest.mark.parametrize(
    ("address", "inside", "public", "error"),
    [
        ("93.184.216.34", False, True, None),
        ("93.184.216.34", True, False, NoContactError),
        ("127.0.0.1", True, False, None),
        ("127.0.0.1", False, True, AddressRefusedError),
        ("169.254.169.254", True, True, AddressRefusedError),
    ],
)
def test_guard_makes_no_socket_for_what_is_closed(address, inside, public, error):
    """The socket of an address that may not be connected to never exists."""
    info = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 80))
    make = guard(inside=inside, public=public)

    if error:
        with pytest.raises(error):
            make(info)
    else:
        with make(info) as made:
            assert (made.family, made.type) == (socket.AF_INET, socket.SOCK_STREAM)
