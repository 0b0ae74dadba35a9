"""Ports of this machine that nobody listens at, below those that the system gives to outgoing connections."""

import random
import socket

_LOWEST, _HIGHEST = 20_000, 32_000
# One process draws again what another has drawn only by chance.
_drawn = random.SystemRandom()


def free_port(preferred: int = 0) -> int:
    """Return a port that is free on every address: the preferred one if it is."""
    while True:
        port = preferred or _drawn.randint(_LOWEST, _HIGHEST)
        preferred = 0
        with socket.socket() as taken:
            try:
                taken.bind(("", port))
            except OSError:
                continue
        return port
