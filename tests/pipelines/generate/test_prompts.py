"""Prompts: tables that are complete in themselves, and ids that depend on what a prompt is."""

import numpy as np
import pytest

from pipelines.generate.prompts import (
    PromptTables,
    make_picture_id,
    make_text_prompts,
    make_vector_prompts,
)
from pipelines.store.root import Root
from tests.pipelines.train.spaces import space


@pytest.fixture
def tables(tmp_path):
    return PromptTables(Root.from_url(str(tmp_path)), "generated/toy", shard_samples=2)


def test_a_repeated_text_is_another_prompt():
    """With an id, and so with seeds, of its own; the same list gives the same ids."""
    dog, bell, again = make_text_prompts(["a dog", "a bell", "a dog"])

    assert ["a dog", "a bell", "a dog"] == [prompt["caption"] for prompt in (dog, bell, again)]
    assert 3 == len({prompt["id"] for prompt in (dog, bell, again)})
    assert dog["id"] == next(make_text_prompts(["a dog"]))["id"]


def test_external_media_are_known_by_their_content():
    """Not by where they lay."""
    assert make_picture_id("0" * 64) != make_picture_id("1" * 64)

    first, second = (
        next(make_vector_prompts([name], ["0" * 64], np.ones((1, 3)), "clap_audio"))
        for name in ("a.wav", "b.wav")
    )
    assert first["id"] == second["id"]
    assert ("a.wav", "b.wav") == (first["url"], second["url"])


def test_written_prompts_are_read_again(tables):
    """Shard by shard, with keys of shard and row; a prompt without a vector keeps none."""
    vectors = np.arange(9, dtype=np.float16).reshape(3, 3)
    prompts = list(make_vector_prompts(list("abc"), [letter * 64 for letter in "abc"], vectors, "clap_audio"))
    prompts[2] = {name: value for name, value in prompts[2].items() if name != "clap_audio"}

    shards = tables.write(prompts, {"clap_audio": space("clap", 3)})

    batches = [batch for shard in shards for batch in tables.read(shard, 1, ("clap_audio",))]
    assert [2, 1] == [shard.rows for shard in shards]
    assert shards == tables.read_shards()
    assert ["000000", "000001", "000010"] == [batch["key"][0] for batch in batches]
    assert [[0, 1, 2], [3, 4, 5]] == [batch["clap_audio"][0].tolist() for batch in batches[:2]]
    assert [None] == batches[2]["clap_audio"]


def test_prompts_without_their_marker_are_incomplete(tables):
    """Tables that a killed run left behind are written again."""
    tables.write(make_text_prompts(["a", "b", "c"]), {})
    tables.root.remove("generated/toy/prompts/shards.json")

    assert tables.read_shards() is None
