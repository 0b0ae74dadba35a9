"""Threads of the small trainings."""

from collections.abc import Iterator

import pytest


@pytest.fixture
def on_one_thread() -> Iterator[None]:
    """Small nets lose more to the threads' waiting for each other than they gain."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
