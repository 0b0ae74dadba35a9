"""Samples for a DataLoader: joined by key, each once, over workers and ranks."""

import json

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import echolens
from tests.by_hand import ByHand, pictures

PICTURES = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Pictures in three shards, one of which never came, and captions of sounds."""
    world = ByHand(
        tmp_path_factory.mktemp("api") / "world", answers={"http://127.0.0.1/c.jpg": "dead/http_404"}
    )
    world.lists(pictures(PICTURES), texts=4)
    world.build()
    return echolens.open(world.at().url)


def test_a_sample_joins_media_caption_and_vectors(opened):
    """In the order of the keys unless they are shuffled; what never came is no sample."""
    samples = list(opened.samples("image", ("clip_image", "clip_text"), shuffle=False))
    keys, vectors_ND = opened.vectors("clip_image")
    texts = dict(zip(*opened.vectors("clip_text"), strict=True))

    named = {f"a picture of {name}" for name in PICTURES if name != "c"}
    assert named == {each["caption"] for each in samples}
    assert keys.tolist() == [int(each["key"]) for each in samples]
    assert all(
        np.array_equal(each["clip_image"], own_D) for each, own_D in zip(samples, vectors_ND, strict=True)
    )
    assert np.array_equal(samples[0]["clip_text"], texts[keys[0]])
    assert f"http://127.0.0.1/{samples[0]['caption'][-1]}.jpg".encode() == samples[0]["jpg"]
    assert {"ok"} == {each["outcome"] for each in samples}


def test_orders_follow_from_the_seed_and_the_epoch(opened):
    """The same again, another of another seed or epoch, and always every sample once."""

    def order(seed, epoch=0):
        stream = opened.samples("image", seed=seed)
        stream.set_epoch(epoch)
        return [each["key"] for each in stream]

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert order(1) != order(1, epoch=1)
    assert sorted(order(1)) == sorted(order(2)) == sorted(order(1, epoch=1))
    assert len(PICTURES) - 1 == len(set(order(1)))


def test_rows_that_the_version_hides_are_no_samples(two_versions):
    """A duplicate's tombstone hides it from samples as from searches."""
    earlier = echolens.open(two_versions.at().url, version=1)
    keys, _ = earlier.vectors("clip_image")

    assert sorted(keys.tolist()) == sorted(int(each["key"]) for each in earlier.samples("image"))


def test_captions_alone_are_samples_too(opened):
    samples = list(opened.samples("text", ("clap_text",), shuffle=False))

    assert 4 == len(samples)
    assert {"key", "caption", "outcome", "clap_text"} == {*samples[0]}


def test_a_column_that_rows_of_a_kind_lack_is_one_sentence(opened):
    with pytest.raises(echolens.ConfigError, match="there is no kind 'video' of rows; name one of image"):
        opened.samples("video")
    with pytest.raises(echolens.ConfigError, match="rows of kind image have no clap_audio; leave it out"):
        opened.samples("image", ("clap_audio",))


def test_workers_share_the_shards(opened):
    loader = DataLoader(opened.samples("image", ("clip_image",)), batch_size=4, num_workers=2)
    seen = [
        (key, vector.tolist())
        for batch in loader
        for key, vector in zip(batch["key"], batch["clip_image"], strict=True)
    ]

    assert len(PICTURES) - 1 == len(seen) == len({key for key, _ in seen})


def read_part(rank, opened, folder):
    """Write the keys that one of two ranks reads, with two workers."""
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    loader = DataLoader(opened.samples("image"), batch_size=None, num_workers=1)
    (folder / f"{rank}.json").write_text(json.dumps([each["key"] for each in loader]))
    torch.distributed.destroy_process_group()


def test_two_ranks_see_every_sample_once(opened, tmp_path):
    """Each with a DataLoader of its own."""
    torch.multiprocessing.start_processes(read_part, (opened, tmp_path), nprocs=2, start_method="fork")
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))

    assert first
    assert second
    assert len(PICTURES) - 1 == len({*first, *second}) == len(first) + len(second)
