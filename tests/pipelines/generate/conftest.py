"""The tiny generator, and six sounds that it made."""

import pytest

from tests.pipelines.generate.making_sounds import rows, step, through, tiny_choice


@pytest.fixture(scope="session")
def chosen(tiny):
    """The tiny generator."""
    return tiny_choice(tiny)


@pytest.fixture(scope="session")
def six(chosen, tmp_path_factory):
    """Six sounds in two shards, three candidates each."""
    made = step(tmp_path_factory.mktemp("six"), chosen, rows(6), candidates=3)
    return made, through(made)


@pytest.fixture(scope="session")
def plain(chosen, tmp_path_factory):
    """Six sounds in two shards, the first that was made of each; nobody listened to them."""
    made = step(tmp_path_factory.mktemp("plain"), chosen, rows(6), judged=False)
    return made, through(made)
