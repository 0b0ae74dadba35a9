"""Who we say we are, and the error of asking a public host without a contact."""

from __future__ import annotations

from importlib import metadata

from pipelines.errors import ConfigError


def make_user_agent(contact: str | None) -> str:
    """Return `Echolens/VERSION (CONTACT) aiohttp/VERSION`, the form that Wikimedia's policy asks for."""
    import aiohttp

    who = f" ({contact})" if contact else ""
    return f"Echolens/{metadata.version('echolens')}{who} aiohttp/{aiohttp.__version__}"


def make_no_contact_error() -> ConfigError:
    """Return the error of asking a public host without saying who asks."""
    return ConfigError(
        "the lists name public hosts and the dataset file has no contact for their owners; "
        'add a line such as contact: "you@example.org"'
    )
