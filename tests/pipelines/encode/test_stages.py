import copy
import io
import logging
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile

from pipelines.encode.encoder import EncoderSpec, encode, get_spaces
from pipelines.encode.loaders.open_clip import OpenClip
from pipelines.encode.loaders.transformers_clap import TransformersClap
from pipelines.encode.stages import DecodeStage, EncodeStage
from pipelines.errors import UndecodableMediaError
from pipelines.stage import check_chain
from pipelines.store.root import Root
from pipelines.store.shards import Shard, commit_vectors
from schemas.vectors import decode_smaller_batches, decode_spaces
from tests.columns import columns_of

CAPTIONS = ["a red bell", "two birds", "a bell", "rain", "  ", "a dog barks at night", "a drum"]
MEMBERS = {"image": ("jpg",), "clip": ("0.jpg", "1.jpg", "2.jpg", "3.jpg", "flac"), "text": ()}


@pytest.fixture(scope="module")
def specs(tiny_clip, tiny_clap):
    loaders = {
        "clip": OpenClip(f"local-dir:{tiny_clip}", "", "fp32", 4),
        "clap": TransformersClap(str(tiny_clap), None, "fp32", 4),
    }
    return {family: EncoderSpec(loader.space(), loader) for family, loader in loaders.items()}


@pytest.fixture
def samples(jpeg, flac):
    """Make rows as they are read from a committed shard."""

    def make(kind, rows=7):
        batch = {
            "key": [f"{row:08d}" for row in range(rows)],
            "id": [f"{row:032x}" for row in range(rows)],
            "kind": [kind] * rows,
            "source": ["cc3m"] * rows,
            "outcome": ["ok"] * rows,
            "reason": [""] * rows,
            "caption": [CAPTIONS[row % len(CAPTIONS)] for row in range(rows)],
        }
        if kind == "clip":
            batch["width"] = [64] * rows
        for number, member in enumerate(MEMBERS[kind]):
            made = flac if member == "flac" else jpeg
            batch[member] = [made(10 * row + number) for row in range(rows)]
        return batch

    return make


def run(kind, specs, batch):
    for stage in (DecodeStage(kind, specs), EncodeStage(kind, specs)):
        batch = stage.open()(batch)
    return batch


def test_sound_without_pictures_has_no_picture_vector(specs, samples):
    """The frames of a clip without a width are blank: its other vectors are there, clip_image is null."""
    batch = samples("clip")
    batch["width"][2] = None
    made = run("clip", specs, batch)

    assert made["clip_image"][2] is None
    assert made["clip_image_norm"][2] is None
    assert made["clap_audio"][2] is not None
    assert "ok" == made["outcome"][2]


@pytest.mark.parametrize("kind", ["image", "clip", "text"])
def test_columns_of_each_kind(specs, samples, kind):
    """A kind gets its columns as unit float16 vectors with norms; media and prepared arrays are let go."""
    batch = run(kind, specs, samples(kind))

    for column in columns_of(kind):
        dims = specs[column[:4]].space.dims
        for row, vector_D in enumerate(batch[column]):
            if CAPTIONS[row].strip() or not column.endswith("text"):
                assert (dims, np.float16) == (len(vector_D), vector_D.dtype)
                assert np.linalg.norm(vector_D.astype(np.float32)) == pytest.approx(1, abs=1e-3)
                assert isinstance(batch[f"{column}_norm"][row], float)
        assert batch[f"{column}_prepared"] == [None] * len(CAPTIONS)
    assert set(batch["outcome"]) == {"ok"}
    assert [batch[member] for member in MEMBERS[kind]] == [[None] * len(CAPTIONS)] * len(MEMBERS[kind])


def test_a_blank_caption_has_no_vector(specs, samples):
    """Nothing said is nothing to compare with; the picture beside it keeps its own."""
    batch = run("image", specs, samples("image"))

    assert [None, None] == [batch["clip_text"][4], batch["clap_text_norm"][4]]
    assert batch["clip_image"][4] is not None
    assert batch["outcome"][4] == "ok"


def test_a_clips_picture_is_the_mean_of_its_frames(specs, samples):
    """Four unit vectors averaged and brought back to length one; the norm says how far they agree."""
    batch = samples("clip", 1)
    tower = specs["clip"].open()["image"]
    frames = [tower.prepare(batch[member][0]) for member in MEMBERS["clip"][:4]]
    mean_D = encode(tower, frames, 4)[0].mean(axis=0)

    encoded = run("clip", specs, batch)

    norm = np.linalg.norm(mean_D)
    assert encoded["clip_image_norm"][0] == pytest.approx(norm, rel=1e-5)
    np.testing.assert_array_equal((mean_D / norm).astype(np.float16), encoded["clip_image"][0])


@pytest.mark.parametrize(
    ("kind", "member", "data"),
    [
        pytest.param("image", "jpg", b"<html>", id="html-for-a-picture"),
        pytest.param("clip", "2.jpg", b"", id="an-empty-frame"),
        pytest.param("clip", "flac", b"fLaC", id="a-torn-sound"),
    ],
)
def test_bad_media_are_an_outcome(specs, samples, kind, member, data):
    """A row that cannot be decoded has an outcome and nulls; the rows beside it are as ever."""
    good = run(kind, specs, samples(kind))
    batch = samples(kind)
    batch[member][2] = data

    bad = run(kind, specs, batch)

    assert ("invalid", "undecodable") == (bad["outcome"][2], bad["reason"][2])
    for column in columns_of(kind):
        assert [None, None] == [bad[column][2], bad[f"{column}_norm"][2]]
        for row in (0, 1, 3, 5, 6):
            np.testing.assert_array_equal(good[column][row], bad[column][row])


@pytest.mark.parametrize(
    "caption",
    [pytest.param("dog " * 1250, id="5,000-characters"), pytest.param("\U0001f514 \u0000\u200f", id="odd")],
)
def test_any_caption_has_a_vector(specs, samples, caption):
    """What is longer than the nets' context is cut; the rows beside it are as ever."""
    good = run("image", specs, samples("image"))
    batch = samples("image")
    batch["caption"][2] = caption

    made = run("image", specs, batch)

    assert ["ok"] * 7 == made["outcome"]
    for column in ("clip_text", "clap_text"):
        assert made[column][2] is not None
        for row in (0, 1, 3, 5, 6):
            np.testing.assert_array_equal(good[column][row], made[column][row])


@pytest.mark.parametrize(
    ("samples_T", "found"),
    [
        # libsndfile takes a FLAC that ends with its header for a torn one.
        pytest.param(np.zeros(0), ("invalid", "undecodable"), id="no-frames"),
        pytest.param(np.zeros(1), ("ok", ""), id="one-frame"),
        pytest.param(np.zeros(48_000), ("ok", ""), id="silence"),
    ],
)
def test_sound_without_sound(specs, samples, samples_T, found):
    """No frames is an outcome; silence, if the filter lets it through, has the vector of silence."""
    batch = samples("clip", 3)
    made = io.BytesIO()
    soundfile.write(made, samples_T, 48_000, format="FLAC")
    batch["flac"][1] = made.getvalue()

    encoded = run("clip", specs, batch)

    assert found == (encoded["outcome"][1], encoded["reason"][1])
    vector_D = encoded["clap_audio"][1]
    assert (vector_D is not None and bool(np.isfinite(vector_D).all())) == (found[0] == "ok")
    assert ["ok", "ok"] == [encoded["outcome"][row] for row in (0, 2)]


def test_rows_with_another_outcome_pass_through(specs, samples):
    """What an earlier stage ruled out is not touched, not even decoded."""
    batch = samples("image", 2)
    batch["jpg"][1], batch["outcome"][1], batch["reason"][1] = None, "filtered", "language_detected"

    encoded = run("image", specs, batch)

    assert ("filtered", "language_detected") == (encoded["outcome"][1], encoded["reason"][1])
    assert [None] * 3 == [encoded[column][1] for column in columns_of("image")]
    assert encoded["clip_image"][0] is not None


class Broken:
    """A tower that fails at what it is told to."""

    def __init__(self, prepare_error=None, raw=1.0):
        self.prepare_error = prepare_error
        self.raw = raw

    def prepare(self, item):
        if self.prepare_error and b"bad" in item:
            raise self.prepare_error
        return np.array([[np.nan if b"bad" in item else 1.0]])

    def forward(self, pieces_B):
        return np.where(np.isnan(pieces_B), self.raw, [1.0, 2.0, 2.0]).astype(np.float32)


class BrokenLoader:
    def __init__(self, tower, space):
        self.tower = tower
        self._space = space

    def space(self):
        return self._space

    def load(self):
        return {"image": self.tower}


@pytest.mark.parametrize(
    ("tower", "found"),
    [
        pytest.param(Broken(KeyError("oops")), ("failed", "bug"), id="a-bug"),
        pytest.param(
            Broken(UndecodableMediaError("too_many_pixels")), ("invalid", "too_many_pixels"), id="unusable"
        ),
        pytest.param(Broken(raw=np.nan), ("failed", "no_vector"), id="nan"),
        pytest.param(Broken(raw=0.0), ("failed", "no_vector"), id="zeros"),
        pytest.param(Broken(raw=np.inf), ("failed", "no_vector"), id="infinity"),
    ],
)
def test_a_failing_row_is_never_a_vector(specs, tower, found, caplog):
    """Neither a bug nor a vector without direction reaches the table, nor the rows beside it."""
    space = specs["clip"].space.model_copy(update={"dims": 3, "encoder": f"broken:{id(tower)}"})
    broken = {"clip": EncoderSpec(space, BrokenLoader(tower, space))}
    without_text = {
        "outcome": ["ok"] * 3,
        "reason": [""] * 3,
        "caption": [" "] * 3,
        "jpg": [b"one", b"bad", b"two"],
    }
    broken["clip"].open()["text"] = tower
    with caplog.at_level(logging.ERROR):
        batch = run("image", broken, without_text)

    assert [("ok", ""), found, ("ok", "")] == list(zip(batch["outcome"], batch["reason"], strict=True))
    assert [True, False, True] == [vector is not None for vector in batch["clip_image"]]
    assert batch["clip_image_norm"][1] is None
    assert ("oops" in caplog.text) == (found == ("failed", "bug"))


def test_a_family_that_is_not_wanted_leaves_no_column(specs, samples):
    """With `clap: null` nothing is heard, and no sound is decoded."""
    batch = samples("clip", 2)
    batch["flac"] = [b"never read"] * 2

    encoded = run("clip", {"clip": specs["clip"]}, batch)

    assert encoded["outcome"] == ["ok", "ok"]
    assert {"clip_image", "clip_text"} == {name for name in encoded if name in columns_of("clip")}


@pytest.mark.parametrize("kind", ["image", "clip", "text"])
def test_stages_chain_and_travel(specs, samples, kind):
    """Both fit behind what a shard gives, are hashable, and come out of a pickle equal."""
    chain = (DecodeStage(kind, specs), EncodeStage(kind, specs))

    have = check_chain(chain, set(samples(kind, 1)))

    assert set(columns_of(kind)) <= have
    assert chain == pickle.loads(pickle.dumps(chain))
    assert len({*chain, *copy.deepcopy(chain)}) == 2


@pytest.mark.parametrize("kind", ["image", "clip", "text"])
def test_a_vector_depends_on_its_row_alone(specs, samples, kind):
    """Other neighbours, another order and two shards at once: the same bits for the same row."""
    rows = 11
    whole = samples(kind, rows)
    expected = run(kind, specs, whole)
    order = np.random.default_rng(0).permutation(rows)
    shuffled = {name: [values[row] for row in order] for name, values in whole.items()}
    halves = [{name: values[part] for name, values in shuffled.items()} for part in (slice(4), slice(4, 11))]
    prepare, vectors = DecodeStage(kind, specs).open(), EncodeStage(kind, specs).open()

    with ThreadPoolExecutor(2) as shards:
        made = list(shards.map(lambda half: vectors(prepare(half)), halves))

    for column in columns_of(kind):
        bits = {}
        for half in made:
            for key, vector_D, norm in zip(half["key"], half[column], half[f"{column}_norm"], strict=True):
                bits[key] = (None if vector_D is None else vector_D.tobytes(), norm)
        for row, vector_D in enumerate(expected[column]):
            there = None if vector_D is None else vector_D.tobytes()
            assert (there, expected[f"{column}_norm"][row]) == bits[f"{row:08d}"]


def test_batches_are_filled_across_read_batches(specs, samples):
    """Nine read batches of one row are three forwards of four, not nine."""
    tower = Broken()
    tower.forward = lambda pieces_B: seen.append(len(pieces_B)) or np.ones((len(pieces_B), 3), np.float32)
    space = specs["clip"].space.model_copy(update={"dims": 3, "encoder": f"counting:{id(tower)}"})
    seen = []
    counting = {"clip": EncoderSpec(space, BrokenLoader(tower, space))}
    counting["clip"].open()["text"] = tower
    batch = {"outcome": ["ok"], "reason": [""], "caption": [" "], "jpg": [b"one"]}

    given = DecodeStage("image", counting).open().process(iter([batch] * 9))
    made = list(EncodeStage("image", counting).open().process(given))

    assert (9, [4, 4, 4]) == (len(made), seen)


def test_smaller_batches_are_written_beside_the_space(specs, samples, tmp_path):
    """A table that a GPU short of memory made says so; one of full batches says nothing."""
    batch = run("image", specs, samples("image", 5))
    spaces = get_spaces(specs)
    root = Root.from_url(str(tmp_path))
    for number, sizes in enumerate(([4] * 5, [4, 2, 1, 4, 4])):
        batch["clip_image_batch_rows"] = sizes
        commit_vectors(root, "main", Shard(number, "image", "web", 5), spaces, [batch])

    schemas = [root.read_table(f"vectors/main/0000{number}.parquet").schema for number in (0, 1)]
    assert [{}, {"clip_image": 1}] == [decode_smaller_batches(schema) for schema in schemas]
    assert [spaces, spaces] == [decode_spaces(schema) for schema in schemas]


def test_vector_tables_are_the_same_bytes_every_time(specs, samples, tmp_path):
    """However the rows are cut into batches, and with one thread or four."""
    whole = samples("clip", 9)
    spaces = get_spaces(specs)
    written = []
    for number, (step, threads) in enumerate(((9, 1), (9, 4), (4, 2))):
        prepare, vectors = DecodeStage("clip", specs, threads).open(), EncodeStage("clip", specs).open()
        batches = [
            vectors(prepare({name: values[start : start + step] for name, values in whole.items()}))
            for start in range(0, 9, step)
        ]
        root = Root.from_url(str(tmp_path / str(number)))
        counts = commit_vectors(root, "main", Shard(3, "clip", "web", 9), spaces, batches)
        written.append([root.compute_sha256(f"vectors/main/00003.{suffix}") for suffix in ("parquet", "tar")])

    assert written[0] == written[1] == written[2]
    assert {"clip_image": 9, "clip_text": 8, "clap_text": 8, "clap_audio": 9} == counts
    assert spaces == decode_spaces(root.read_table("vectors/main/00003.parquet").schema)
