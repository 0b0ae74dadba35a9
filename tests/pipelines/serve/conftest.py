"""A dataset that is really served."""

import shutil

import pytest

from tests.pipelines.serve.running import serve


@pytest.fixture(scope="session")
def anyio_backend():
    """Of the tests that are coroutines."""
    return "asyncio"


@pytest.fixture(scope="session")
def served(built, tmp_path_factory):
    """A copy of the world behind one replica, with the page, for any number of requests."""
    root = tmp_path_factory.mktemp("served") / "data"
    shutil.copytree(built.root, root)
    with serve(root, "--rate", "0", "--poll-s", "0.5") as running:
        yield running
