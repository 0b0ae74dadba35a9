"""Windows of sounds that are longer than the encoder's: vectors, starts, and one commit with the shard's."""

import io

import numpy as np
import pytest
import soundfile

from pipelines.encode.encoder import EncoderSpec, get_spaces
from pipelines.encode.loaders.custom import CustomTower
from pipelines.encode.resolve import resolve
from pipelines.encode.segment_stages import add_segment_stages
from pipelines.encode.stages import DecodeStage, EncodeStage
from pipelines.errors import ConfigError
from pipelines.miniature.sounds import sound
from pipelines.miniature.world import draw
from pipelines.run.build_steps import VectorStep
from pipelines.stage import check_chain
from pipelines.store.root import Root
from pipelines.store.shards import Shard, make_media_columns
from pipelines.store.windows import read_windows
from schemas.encoders import Encode
from schemas.sample import FRAMES, SAMPLE_RATE_HZ
from schemas.segment import WHOLE, Segment

LENGTHS_S = (23.0, 4.0, 31.5)
SHARD = Shard(3, "clip", "web", len(LENGTHS_S))


@pytest.fixture(scope="module")
def specs(one_thread):
    """The pocket models."""
    return resolve(Encode(clip="pocket", clap="pocket"))


@pytest.fixture(scope="module")
def clips():
    """Sounds without pictures, as they are read from a committed shard."""
    rows = range(len(LENGTHS_S))
    batch = {
        "key": [f"{30 + row:08d}" for row in rows],
        "id": ["" for _ in rows],
        "kind": ["clip" for _ in rows],
        "source": ["vggsound" for _ in rows],
        "outcome": ["ok" for _ in rows],
        "reason": ["" for _ in rows],
        "caption": ["a bell" for _ in rows],
        "width": [None for _ in rows],
        "flac": [],
    }
    for row, length_s in enumerate(LENGTHS_S):
        file = io.BytesIO()
        wave_T = (sound(draw(5, "train", row), length_s) * 20_000).astype(np.int16)
        soundfile.write(file, wave_T, SAMPLE_RATE_HZ, format="FLAC")
        batch["flac"].append(file.getvalue())
    return batch | {name: [b""] * len(LENGTHS_S) for name in FRAMES}


def make_step(root, specs, windowed, segment=WHOLE):
    chain = (
        *add_segment_stages(segment, specs),
        DecodeStage("clip", specs, windowed=windowed),
        EncodeStage("clip", specs, windowed),
    )
    check_chain(chain, make_media_columns("clip"))
    return VectorStep(root, 10, {"clip": chain}, "main", get_spaces(specs), 16, segment, windowed)


def encode(step, batch):
    """Encode a shard and commit it."""
    for stage in step.make_stages(SHARD):
        batch = stage.open()(batch)
    step.commit(SHARD, [batch], 0.0)


def files(root):
    names = root.list_names("vectors/main")
    return {name: root.read(f"vectors/main/{name}") for name in names}


def test_the_mean_of_the_windows_is_the_stored_vector(specs, clips, tmp_path):
    """Every other byte stays; windows are back to back, and the last one ends where the sound does."""
    plain, kept = (Root.from_url(str(tmp_path / name)) for name in ("plain", "kept"))
    encode(make_step(plain, specs, None), clips)
    encode(make_step(kept, specs, "clap_audio"), clips)
    windows = files(kept)
    windows.pop("00003.windows.parquet")
    assert windows == files(plain)

    space, keys, starts, vectors = read_windows(kept, "main", [SHARD])
    assert space == get_spaces(specs)["clap_audio"]
    stored = np.array(kept.read_table("vectors/main/00003.parquet")["clap_audio"].to_pylist(), np.float32)
    extractor = specs["clap"].open()["audio"].extractor
    window_s = extractor.nb_max_samples / extractor.sampling_rate
    for row, length_s in enumerate(LENGTHS_S):
        own = keys == 30 + row
        mean = vectors[own].astype(np.float32).mean(0)
        np.testing.assert_allclose(mean / np.linalg.norm(mean), stored[row], atol=1e-3)
        expected = [*np.arange(0, length_s - window_s + 1e-6, window_s)] or [0.0]
        if length_s > window_s and expected[-1] + window_s < length_s - 0.05:
            expected.append(length_s - window_s)
        assert expected == pytest.approx(starts[own].tolist(), abs=2e-4)
    assert len(keys) > len(LENGTHS_S) + 1


def test_starts_of_a_segment_are_those_in_the_clip(specs, clips, tmp_path):
    """The middle 12 s of a sound of 23 s begin at 5.5 s."""
    root, segment = Root.from_url(str(tmp_path)), Segment(mode="middle", segment_s=12.0)
    encode(make_step(root, specs, "clap_audio", segment), clips)
    _, keys, starts, _ = read_windows(root, "main", [SHARD])

    chosen = root.read_table("vectors/main/00003.parquet")["segment_start_s"].to_pylist()
    firsts = [starts[keys == 30 + row].min() for row in range(len(LENGTHS_S))]
    assert chosen == pytest.approx(firsts)
    assert firsts[0] == pytest.approx(5.5, abs=0.1)


class _Loader:
    """Loads towers that are there already."""

    modalities = ("audio",)

    def __init__(self, space, tower):
        self._space, self._tower = space, tower

    def space(self):
        return self._space

    def load(self):
        return {"audio": self._tower}


class _Located(CustomTower):
    locate_windows = staticmethod(lambda item: np.array([0, 9], np.float32))


class _Broken(CustomTower):
    locate_windows = staticmethod(lambda item: 1 / 0)


def make_specs(specs, kind, name, count):
    """Return an encoder of one's own that makes so many pieces of any sound."""
    tower = kind(lambda item: np.ones((count, 2), np.float32), lambda pieces_B: pieces_B)
    space = specs["clap"].space.model_copy(update={"dims": 2, "encoder": name, "batch_rows": 2})
    return {"own": EncoderSpec(space, _Loader(space, tower))}


def test_an_encoder_that_does_not_say_where_has_no_starts(specs, clips, tmp_path):
    """One that says it has them; one that says it of another number of windows, or fails, is to be mended."""
    found = {}
    for name, kind in (("silent", CustomTower), ("located", _Located)):
        root = Root.from_url(str(tmp_path / name))
        encode(make_step(root, make_specs(specs, kind, name, 2), "own_audio"), clips)
        found[name] = read_windows(root, "main", [SHARD])[2]

    assert np.isnan(found["silent"]).all()
    assert [0, 9] * 3 == found["located"].tolist()
    for name, kind, said in (("many", _Located, "a sound of 3 pieces"), ("broken", _Broken, "ZeroDivision")):
        with pytest.raises(ConfigError, match=said):
            encode(make_step(root, make_specs(specs, kind, name, 3), "own_audio"), clips)


def test_a_commit_that_fails_leaves_nothing_that_counts(specs, clips, tmp_path, monkeypatch):
    """Windows come before the marker: without it the shard is made again, to the same bytes."""
    root, whole = (Root.from_url(str(tmp_path / name)) for name in ("broken", "whole"))
    step = make_step(root, specs, "clap_audio")
    with monkeypatch.context() as patch:
        patch.setattr("pipelines.store.shards.write_tar", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            encode(step, clips)
    assert ["00003.windows.parquet"] == root.list_names("vectors/main")
    assert (frozenset(), False) == (step.find_committed([3]), step.is_done(SHARD))

    encode(step, clips)
    encode(make_step(whole, specs, "clap_audio"), clips)
    assert files(root) == files(whole)
    assert frozenset({3}) == step.find_committed([3])


def test_a_set_without_sounds_has_no_windows():
    """One sentence, before anything is planned."""
    from jobs.shared.dataset_build import VectorMakers, make_vector_step
    from schemas.dataset import Dataset

    dataset = Dataset.model_validate(
        {"name": "any", "root": "/none", "sources": [{"kind": "cc3m", "list": "/none"}]}
        | {"encode": {"clip": "pocket", "clap": None, "windows": True}}
    )
    with pytest.raises(ConfigError, match="set 'main' has no encoder of sounds whose windows could be kept"):
        make_vector_step(dataset, Root.from_dataset(dataset), VectorMakers(resolve(dataset.encode)))
