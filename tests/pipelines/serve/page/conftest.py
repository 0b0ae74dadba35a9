"""The page over a real lookup: one server for all tests of it."""

import shutil

import pytest

from tests.pipelines.serve.page.browser import opened, serving
from tests.pipelines.serve.page.hostile import HOSTILE_REPORT


@pytest.fixture(scope="session")
def address(built, tmp_path_factory):
    """Where the page and the API of the built world are, without Ray."""
    root = tmp_path_factory.mktemp("paged") / "data"
    shutil.copytree(built.root, root)
    (root / "reports").mkdir(exist_ok=True)
    (root / "reports" / "0001.html").write_text(HOSTILE_REPORT)
    with serving(root, tmp_path_factory.mktemp("metrics")) as address:
        yield address


@pytest.fixture
def page(browser, address):
    """The page, opened; it asks nobody else and raises nothing, or the test fails."""
    with opened(browser, address) as shown:
        yield shown
