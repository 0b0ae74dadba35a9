"""Ray's core, in C++, as far as Python steers it: the token that it has read, and what it prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def find_token() -> tuple[bool, bool]:
    """Return whether this process shows a token to clusters, and whether there is one to show."""
    from ray._raylet import (  # type: ignore[attr-defined]
        AuthenticationMode,
        AuthenticationTokenLoader,
        get_authentication_mode,
    )

    reload_token()
    has_token = AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True)
    return get_authentication_mode() == AuthenticationMode.TOKEN, bool(has_token)


def reload_token() -> None:
    """Have Ray read its token and mode again, which it does once a process."""
    from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def discard_stderr() -> Iterator[None]:
    """Discard stderr, of Ray's core too, which writes "Set ray log level ..." at its start."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
