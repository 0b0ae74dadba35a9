"""Rows of a dataset can be asked for by split, so that scores are of what nothing was trained on."""

import numpy as np
import pytest

from pipelines.errors import ConfigError
from pipelines.generate.held_out import count_rows, find_held_out
from pipelines.generate.prompts import make_version_prompts
from pipelines.store import versions
from pipelines.store.splits import TEST
from schemas.generated import GenerationManifest
from schemas.training import SplitSettings
from tests.by_hand import HOST, ByHand
from tests.pipelines.store.parts import find_part


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Sixty pictures in three shards."""
    made = ByHand(tmp_path_factory.mktemp("held") / "world", shard_rows=20)
    made.lists({f"{HOST}{number}.jpg": f"picture {number}" for number in range(60)})
    made.build()
    return made


def read_prompts(world, **options):
    root = world.at()
    version = versions.read_version(root)
    return [*make_version_prompts(root, 20, version, "clip_image", **options)]


def test_held_out_rows_are_those_of_the_split(world):
    """By the address of each picture; with keys or a limit, of them alone."""
    root = world.at()
    chosen = find_held_out(root, 20, versions.read_version(root), None)
    prompts = read_prompts(world, chosen=chosen)
    tested = [f"{HOST}{n}.jpg" for n in range(60) if find_part(f"{HOST}{n}.jpg", SplitSettings()) == TEST]

    assert 0 < len(tested) < 15
    assert sorted(tested) == sorted(prompt["url"] for prompt in prompts)
    assert prompts[:2] == read_prompts(world, chosen=chosen, limit=2)
    other = next(each for each in read_prompts(world) if each["url"] not in tested)
    with pytest.raises(ConfigError, match="of 1 --keys only 0 are held-out rows of version 1"):
        read_prompts(world, chosen=chosen, keys=[other["source_key"]])


def test_no_held_out_row_is_one_sentence(world):
    """What was found, and what to do."""
    with pytest.raises(
        ConfigError, match=r"has no held-out row that can have clip_image; build more rows, or"
    ):
        read_prompts(world, chosen=np.empty(0, np.int64))


def test_scores_count_both(world):
    """How many of the rows were held out, and how many were not."""
    prompts = read_prompts(world)
    content = {
        "name": "sounds", "set": "main", "version": 1, "asked": {}, "via": "none", "translator": None,
        "generator": {"name": "g", "weights_sha256": "0" * 64, "medium": "sound", "reads": ()},
        "settings": {"format": "flac"},
    }  # fmt: skip
    manifest = GenerationManifest.model_validate(content)
    counts = count_rows(world.at(), 20, manifest, [prompt["source_key"] for prompt in prompts])
    held = [prompt for prompt in prompts if find_part(prompt["url"], SplitSettings()) == TEST]

    assert (len(held), 60 - len(held)) == (counts.held_out, counts.not_held_out)
