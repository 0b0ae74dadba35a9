"""Threads of the small trainings, and media for streams."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.by_hand import ByHand
from tests.pipelines.train.media_world import build_world


@pytest.fixture
def on_one_thread() -> Iterator[None]:
    """Small nets lose more to the threads' waiting for each other than they gain."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def media_world(tmp_path_factory: pytest.TempPathFactory) -> ByHand:
    """Pictures and clips in two versions. Only to be read."""
    return build_world(tmp_path_factory.mktemp("media") / "world")


@pytest.fixture
def own_media(media_world: ByHand, tmp_path: Path) -> ByHand:
    """A copy of it, to be changed."""
    shutil.copytree(media_world.folder, tmp_path / "world")
    return ByHand(tmp_path / "world", shard_rows=media_world.shard_rows)
