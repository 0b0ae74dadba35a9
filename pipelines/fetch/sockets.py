"""Connections that are made here and not by aiohttp: the same look-up and the same guard of addresses."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

from aiohttp.abc import AbstractResolver

from pipelines.fetch.addresses import AddressRefusedError, AddrInfo, NoContactError
from pipelines.fetch.dns import is_reserved_invalid

MakeSocket = Callable[[AddrInfo], socket.socket]

# A network behind a proxy may have no name service, whose silence lasts 10 s; the proxy looks names up too.
_LOOKUP_S = 3.0


async def resolve(resolver: AbstractResolver, host: str, port: int) -> list[AddrInfo]:
    """Return the addresses of a host.

    Raises:
        socket.gaierror: there are none.
    """
    addresses = await resolver.resolve(host, port, socket.AF_UNSPEC)
    return [
        (each["family"], socket.SOCK_STREAM, each["proto"], "", (each["host"], each["port"]))
        for each in addresses
    ]


async def check_host(
    resolver: AbstractResolver, host: str, port: int, make_socket: MakeSocket, *, public: bool
) -> None:
    """Check the addresses of a host that a proxy will connect to, as far as they are known here.

    Args:
        resolver: of this machine; a name that it does not know is the proxy's to resolve.
        host: a name or an address.
        port: of the host.
        make_socket: the guard of the host's addresses; all of them must be allowed, for the proxy may choose.
        public: whether public hosts may be asked; one that is not known here may be public.

    Raises:
        OSError: an address is not allowed, or the name never exists.
    """
    if is_reserved_invalid(host):
        raise socket.gaierror(socket.EAI_NONAME, "reserved name")
    try:
        addresses = await asyncio.wait_for(resolve(resolver, host, port), _LOOKUP_S)
    except (socket.gaierror, TimeoutError):
        if not public:
            raise NoContactError("no contact") from None
        return
    for info in addresses:
        try:
            make_socket(info).close()
        except (AddressRefusedError, NoContactError):
            raise
        except OSError:
            continue  # an address family that this machine does not have, and the proxy may


async def connect_first(addresses: list[AddrInfo], make_socket: MakeSocket) -> socket.socket:
    """Return a socket connected to the first address that accepts it.

    Raises:
        OSError: none did; the reason of the last.
    """
    last_error: OSError = OSError(errno.EHOSTUNREACH, "no address")
    for info in addresses:
        try:
            sock = make_socket(info)
        except OSError as error:
            last_error = error
            continue
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, info[4])
        except OSError as error:
            sock.close()
            last_error = error
            continue
        except BaseException:
            sock.close()
            raise
        return sock
    raise last_error


def make_unguarded_socket(info: AddrInfo) -> socket.socket:
    """Make a socket to a proxy, which the person has named."""
    family, kind, protocol, _, _ = info
    return socket.socket(family, kind, protocol)
