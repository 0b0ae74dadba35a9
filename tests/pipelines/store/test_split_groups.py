"""Near copies of pictures and sounds, rows of one address and of one source are never on two sides."""

import io
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
import soundfile
import soxr
from PIL import Image

from pipelines.miniature.pictures import picture
from pipelines.miniature.sounds import SAMPLE_RATE, sound
from pipelines.miniature.world import draw_crossing
from pipelines.store.fingerprints import hash_picture, hash_sound
from pipelines.store.near_hashes import find_near, measure_distances, unpack_hashes
from pipelines.store.root import Root
from pipelines.store.shards import Shard
from pipelines.store.split_groups import PICTURE_BITS, SOUND_BITS, find_parts, read_groups
from pipelines.store.split_hashes import HashStep, find_unhashed, read_hashes
from pipelines.store.splits import TEST, TRAIN, VALIDATION
from schemas.candidate import CANDIDATE
from schemas.split_hashes import SPLIT_HASHES
from schemas.training import SplitSettings
from tests.pipelines.store.parts import find_part

ROWS = 12
SPLIT = SplitSettings(validation=0.3, test=0.3)


@pytest.fixture(scope="module")
def drawn():
    """Pictures of a dozen scenes, as a build stores them."""
    return [Image.fromarray(picture(draw_crossing("lists", 3, "train", n), 256)) for n in range(ROWS)]


@pytest.fixture(scope="module")
def heard():
    """Three seconds of a dozen other scenes."""
    return [sound(draw_crossing("lists", 4, "train", n), 3.0) for n in range(ROWS)]


def jpeg(image, quality=95):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def crop(image, share):
    width, height = image.size
    return image.crop((width * share, height * share, width * (1 - share), height * (1 - share)))


def narrow(image):
    return image.resize((250, 250 * image.height // image.width), Image.Resampling.BICUBIC)


def mirror(image):
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


NEAR = {
    "jpeg-70": partial(jpeg, quality=70),
    "250-px": lambda image: jpeg(narrow(image)),
    "crop-3": lambda image: jpeg(crop(image, 0.015)),
    "crop-3-a-side": lambda image: jpeg(crop(image, 0.03)),
    "mirrored": lambda image: jpeg(mirror(image)),
    "all": lambda image: jpeg(narrow(crop(mirror(image), 0.03)), 70),
}


def code(wave, form="FLAC", rate=SAMPLE_RATE):
    file = io.BytesIO()
    soundfile.write(file, soxr.resample(wave, SAMPLE_RATE, rate), rate, format=form)
    return file.getvalue()


NEAR_SOUNDS = {
    "quieter": lambda wave: code(0.2 * wave),
    "16-khz": lambda wave: code(wave, rate=16_000),
    "vorbis": lambda wave: code(wave, "OGG"),
    "mp3": lambda wave: code(0.5 * wave, "MP3", 44_100),
}


def group_all(hashes, most, mirrors):
    """Return pairs of rows that are near, in order."""
    pairs = np.concatenate([np.empty((0, 2), int), *find_near(unpack_hashes(hashes), most, mirrors)])
    return {tuple(sorted(pair)) for pair in pairs.tolist()}


@pytest.mark.parametrize("change", NEAR.values(), ids=NEAR.keys())
def test_a_changed_picture_is_near_its_original(drawn, change):
    """Each copy is found beside the picture that it was made of, whole or without edges, and no other."""
    originals = [hash_picture(jpeg(image)) for image in drawn]
    copies = [hash_picture(change(image)) for image in drawn]
    flat = [each for hashes in (*originals, *copies) for each in hashes]
    near = {
        (a // 2 % ROWS, b // 2 % ROWS) for a, b in group_all(flat, PICTURE_BITS, True) if a // 2 != b // 2
    }

    assert {(row, row) for row in range(ROWS)} == near


@pytest.mark.parametrize("change", NEAR_SOUNDS.values(), ids=NEAR_SOUNDS.keys())
def test_a_changed_sound_is_near_its_original(heard, change):
    """Gain, another rate and lossy coding change few bits; other sounds differ in more."""
    hashes = [hash_sound(code(wave)) for wave in heard] + [hash_sound(change(wave)) for wave in heard]

    assert {(row, row + ROWS) for row in range(ROWS)} == group_all(hashes, SOUND_BITS, False)


def test_media_that_say_nothing_have_no_hash():
    """A black picture, silence, a click too short and what cannot be decoded join nothing."""
    assert (None, None) == hash_picture(jpeg(Image.new("RGB", (64, 64))))
    assert (None, None) == hash_picture(b"no picture")
    assert hash_sound(code(np.zeros(SAMPLE_RATE))) is None
    assert hash_sound(code(np.ones(90))) is None
    assert hash_sound(b"no sound") is None


def test_a_mirrored_hash_is_the_same_but_for_its_odd_half():
    """Where only mirrors are asked for, the inverse of the odd half is no distance."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, (50, 2), dtype=np.uint64)
    mirrored = hashes ^ np.array([0, 2**64 - 1], np.uint64)

    assert not measure_distances(hashes, mirrored, True).any()
    assert {64} == set(measure_distances(hashes, mirrored, False))


def test_near_hashes_are_found_without_comparing_all():
    """Of 20,000 random hashes, those with twelve flipped bits are found, and hardly any other pair is."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, (20_000, 2), dtype=np.uint64, endpoint=False)
    flips = np.zeros((200, 2), np.uint64)
    for row in range(200):
        for bit in rng.choice(128, 12, replace=False):
            flips[row, bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    both = np.concatenate([hashes, hashes[:200] ^ flips])
    found = {tuple(sorted(pair)) for pairs in find_near(both, 16, False) for pair in pairs.tolist()}
    right = {(row, 20_000 + row) for row in range(200)}

    assert len(found & right) > 170
    assert not found - right


def write_candidates(root, urls, splits=None, sources=None):
    """Write a shard of pictures behind these addresses; return it."""
    rows = [
        {"url": url, "caption": "", "licence": "unknown", "id": "", "source_row": row, "kind": "image"}
        | {"source": sources[row] if sources else "wit", "lane": "web"}
        | {"split": splits[row] if splits else None}
        for row, url in enumerate(urls)
    ]
    root.write_table("candidates/00000.parquet", pa.Table.from_pylist(rows, schema=CANDIDATE))
    return Shard(0, "image", "web", len(urls))


def write_hashes(root, hashes):
    """Write the side table of shard 0."""
    rows = [
        {"key": f"{row:07d}", "picture": of_whole, "middle": of_middle, "sound": None}
        for row, (of_whole, of_middle) in enumerate(hashes)
    ]
    root.write_table("splits/00000.parquet", pa.Table.from_pylist(rows, schema=SPLIT_HASHES))


def test_a_copy_under_another_address_is_on_the_same_side(tmp_path, drawn):
    """Copies have the part of the first key's address, in this version and with what a later one adds."""
    root = Root.from_url(str(tmp_path))
    urls = [f"http://host/{row}.jpg" for row in range(3 * ROWS)]
    shard = write_candidates(root, urls)
    changed = [change(image) for image in drawn for change in (NEAR["all"], NEAR["jpeg-70"])]
    write_hashes(root, [hash_picture(data) for data in [*map(jpeg, drawn), *changed]])
    groups = read_groups(root, [shard], 100, SPLIT)
    expected = [*range(ROWS), *(row for row in range(ROWS) for _ in range(2))]

    assert expected == groups.groups_N.tolist()
    assert [find_part(urls[row], SPLIT) for row in expected] == groups.part_N.tolist()
    assert (36, 12, 36, 36, 3) == (
        groups.counts.rows,
        groups.counts.groups,
        groups.counts.addresses,
        groups.counts.pictures,
        groups.counts.largest,
    )
    assert "picture hash" in groups.counts.rule


def test_published_splits_are_taken_as_they_are(tmp_path):
    """A list's test rows are tested on and its training rows never; without a test list, a hash decides."""
    root = Root.from_url(str(tmp_path))
    urls = [f"http://host/{row}.jpg" for row in range(60)]
    splits = ["test" if row < 10 else "train" if row < 40 else None for row in range(60)]
    sources = ["vggsound"] * 40 + ["wit"] * 20
    shard = write_candidates(root, urls, splits, sources)
    keys = np.arange(60)
    part_N = find_parts(root, [shard], 100, keys, SPLIT)
    by_hash = [find_part(url, SPLIT) for url in urls]

    assert {TEST} == set(part_N[:10])
    assert {TRAIN, VALIDATION} == set(part_N[10:40])
    assert by_hash[40:] == part_N[40:].tolist()
    assert (
        by_hash
        == find_parts(root, [shard], 100, keys, SPLIT.model_copy(update={"published": False})).tolist()
    )
    assert {"train": 30, "test": 10} == read_groups(root, [shard], 100, SPLIT).counts.published


def test_a_copy_of_a_published_test_row_is_not_trained_on(tmp_path, drawn):
    """The whole group of a test row is tested on."""
    root = Root.from_url(str(tmp_path))
    shard = write_candidates(root, ["http://a/1.jpg", "http://b/2.jpg"], ["train", "test"])
    write_hashes(root, [hash_picture(jpeg(drawn[0])), hash_picture(jpeg(mirror(drawn[0]), 70))])

    assert [TEST, TEST] == find_parts(root, [shard], 100, np.arange(2), SPLIT).tolist()


def test_media_are_hashed_once(media_by_hand):
    """A shard's hashes are committed beside its media; a table of another rule is written again."""
    world = media_by_hand
    root, shards = world.at(), [Shard(0, "image", "local", 2)]
    assert shards == find_unhashed(root, shards)
    read_groups(root, shards, world.shard_rows, SPLIT)
    table = read_hashes(root, shards[0])

    assert [] == find_unhashed(root, shards)
    assert 2 == table.num_rows
    assert HashStep(root).is_done(shards[0])
    root.write_table("splits/00000.parquet", table.replace_schema_metadata({"rule": "other"}))
    assert shards == find_unhashed(root, shards)


@pytest.fixture
def media_by_hand(tmp_path):
    from tests.by_hand import ByHand, pictures

    world = ByHand(tmp_path / "world")
    world.lists(pictures("ab"))
    world.build()
    return world
