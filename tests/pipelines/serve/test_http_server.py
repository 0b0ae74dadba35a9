"""Replicas share a port; nobody else's port is taken."""

import socket

import httpx
import pytest
from starlette.responses import PlainTextResponse

from pipelines.errors import ConfigError
from pipelines.serve.http_server import HttpServer, check_free
from pipelines.serve.settings import ServiceSettings
from tests.ports import free_port


@pytest.mark.anyio
async def test_two_servers_share_a_port():
    """Both listen and one answers; once it is closed, the other one still does."""
    settings = ServiceSettings(port=free_port())
    servers = [HttpServer.bind_port(settings) for _ in range(2)]
    async with httpx.AsyncClient(base_url=settings.address, timeout=10) as client:
        for server, name in zip(servers, ("first", "second"), strict=True):
            server.open(PlainTextResponse(name))
        await servers[0].close()
        answers = {(await client.get("/")).text for _ in range(3)}
        servers[1].check()
        with pytest.raises(RuntimeError, match="no longer listens"):
            servers[0].check()
    await servers[1].close()

    assert {"second"} == answers


@pytest.mark.anyio
async def test_a_socket_is_taken_over_from_an_ended_server(tmp_path):
    """A replica that was killed leaves its socket behind; the next one answers there."""
    path = tmp_path / "page.sock"
    HttpServer.bind_path(path)
    server = HttpServer.bind_path(path)
    server.open(PlainTextResponse("again"))

    transport = httpx.AsyncHTTPTransport(uds=str(path))
    async with httpx.AsyncClient(transport=transport, base_url="http://page", timeout=10) as client:
        assert "again" == (await client.get("/")).text
    await server.close()


def test_a_path_too_long_for_a_socket_is_refused(tmp_path):
    """The sentence says what decides where it lies."""
    with pytest.raises(ConfigError, match="set TMPDIR to a shorter folder"):
        HttpServer.bind_path(tmp_path / ("long" * 30) / "page.sock")


def test_a_port_in_use_is_refused():
    """The sentence says which option to change."""
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(ConfigError, match="another --port"):
        check_free(ServiceSettings(port=other.getsockname()[1]))


def test_an_address_of_another_machine_is_refused():
    """192.0.2.0/24 is for documentation: no machine has it."""
    with pytest.raises(ConfigError, match="an address of this machine"):
        check_free(ServiceSettings(host="192.0.2.1", port=free_port()))
