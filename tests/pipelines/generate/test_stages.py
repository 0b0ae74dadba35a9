"""What becomes of a prompt: the best of its candidates, or an outcome that says why there is no sound."""

import io
from dataclasses import dataclass

import numpy as np
import pytest
import soundfile

from pipelines.generate.audioldm.params import AudioLdmParams
from pipelines.generate.generator import ChosenGenerator, Samples
from pipelines.generate.judge import Judge, SampleScorer
from pipelines.generate.loudness import normalize_loudness
from pipelines.generate.media import decode_sound, encode_sound
from pipelines.generate.output import read_samples
from pipelines.generate.stages import derive_seed
from schemas.generated import GeneratorInfo
from tests.pipelines.generate.making_sounds import judge, rows, step, through, tiny_choice


def test_the_nearest_candidate_is_kept(six):
    """By CLAP audio, against the row's own vector; all scores are written down, and the seed of the best."""
    from pipelines.encode.encoder import encode

    made, table = six
    tower = judge().open()["audio"]
    sounds = dict(
        pair for shard in made.prompts.read_shards() for pair in read_samples(made.root, "toy", shard)
    )
    for row, given in zip(table, rows(6), strict=True):
        unit_D = encode(tower, [tower.prepare(sounds[row["key"]])], 32)[0][0]
        assert row["score"] == pytest.approx(float(unit_D @ given["clap_audio"].astype(np.float32)), abs=2e-3)
        assert row["score"] == max(row["candidate_scores"])
        assert row["candidate_scores"].index(row["score"]) == row["chosen"]
        assert derive_seed(0, row["id"], row["chosen"]) == row["candidate_seed"]
    assert {row["chosen"] for row in table} > {0}


def test_neither_order_nor_neighbours_change_a_sound(plain, chosen, tmp_path):
    """The rows the other way round, in other shards, with a stranger among them: the same files."""
    expected = {row["id"]: row["sha256"] for row in plain[1]}
    made = step(tmp_path, chosen, rows(7)[::-1], judged=False, shard_samples=7)
    found = {row["id"]: row["sha256"] for row in through(made)}

    assert expected.items() <= found.items()
    assert 7 == len(found)


def test_batches_of_one_give_the_sounds_of_batches_of_eight(plain, tiny, tmp_path):
    """Sample by sample, to the last bits of 16: floats of another batch are rounded otherwise."""
    made = step(tmp_path, tiny_choice(tiny, batch_rows=1), rows(6), judged=False)
    table = through(made)
    eight, one = (
        dict(pair for shard in plain[0].prompts.read_shards() for pair in read_samples(of.root, "toy", shard))
        for of in (plain[0], made)
    )

    assert [row["candidate_seed"] for row in plain[1]] == [row["candidate_seed"] for row in table]
    for key, sound in one.items():
        one_T, eight_T = (
            soundfile.read(io.BytesIO(data), dtype="int16")[0].astype(int) for data in (sound, eight[key])
        )
        np.testing.assert_allclose(one_T, eight_T, atol=2)


@pytest.mark.parametrize(
    ("changed", "same"),
    [({"seed": 1}, False), ({"guidance": 4.0}, False), ({"shard_samples": 3}, True)],
    ids=["seed", "guidance", "shards"],
)
def test_what_changes_a_sound(plain, chosen, tmp_path, changed, same):
    """Seed and settings do; how sounds are cut into shards does not."""
    found = through(step(tmp_path, chosen, rows(6), **({"judged": False} | changed)))
    assert same == ([row["sha256"] for row in found] == [row["sha256"] for row in plain[1]])


def test_every_prompt_has_an_outcome(chosen, tmp_path):
    """No vector, one without a direction, one of NaNs, a picture that never came: a line each, no sound."""
    given = rows(6)
    given[1]["clap_audio"] = None
    given[2]["clap_audio"] = np.zeros(512, np.float16)
    given[3]["clap_audio"] = np.full(512, np.nan, np.float16)
    given[4] |= {"outcome": "dead", "reason": "http_404", "clap_audio": None}
    made = step(tmp_path, chosen, given, judged=False)
    table = through(made)

    assert ["ok", "failed/no_vector", "failed/no_vector", "failed/no_vector", "dead/http_404", "ok"] == [
        f"{row['outcome']}/{row['reason']}".rstrip("/") for row in table
    ]
    assert [row["outcome"] == "ok" for row in table] == [row["sha256"] is not None for row in table]
    assert {"ok": 1, "failed/no_vector": 3} == made.count_outcomes(made.prompts.read_shards()[0])


@dataclass(frozen=True)
class Broken:
    """A generator whose sounds of some seeds are no numbers."""

    every: bool = False
    medium, reads, params = "sound", ("clap_audio",), AudioLdmParams

    def open(self):
        return self

    def fingerprint(self):
        return "0" * 64

    def generate(self, prompts, seeds, params, progress=None):
        waves_NT = np.tile(np.sin(np.arange(8_000) / 7), (len(seeds), 1)).astype(np.float32)
        waves_NT[[self.every or seed % 2 == 0 for seed in seeds], 5] = np.nan
        return Samples("sound", waves_NT, rate_hz=16_000)

    def encode_text(self, texts):
        return np.ones((len(texts), 512), np.float32)


def broken(every):
    made_by = GeneratorInfo(
        name="broken", weights_sha256="0" * 64, medium="sound", reads=("clap_audio",), batch_rows=4
    )
    return ChosenGenerator(Broken(every), made_by)


def test_a_sound_that_is_no_numbers_is_not_kept(tmp_path):
    """Another candidate is; where there is none, the row says so."""
    some = through(step(tmp_path / "some", broken(False), rows(8), candidates=4))
    none = through(step(tmp_path / "none", broken(True), rows(2), candidates=4))

    assert ["failed/no_sound"] * 2 == [f"{row['outcome']}/{row['reason']}" for row in none]
    for row in some:
        odd = [derive_seed(0, row["id"], n) % 2 == 1 for n in range(4)]
        assert any(odd) == (row["outcome"] == "ok")
        if any(odd):
            assert odd == [score is not None for score in row["candidate_scores"]]
            assert odd[row["chosen"]]


def test_texts_are_spoken_to_the_generator(chosen, generator, tmp_path):
    """By its own text tower; without a judge there are no scores. WAV if that is wanted."""
    made = step(tmp_path, chosen, judged=False, format="wav")
    table = through(made)
    ((key, sound), _) = read_samples(made.root, "toy", made.prompts.read_shards()[0])

    condition_ND = generator.encode_text(["a dog barks"])
    expected_T = normalize_loudness(
        generator.generate_waves(
            condition_ND, [table[0]["candidate_seed"]], AudioLdmParams(length_s=0.5, steps=2)
        )
    )[0]

    assert ("000000", "a dog barks", "text", None) == (
        key,
        table[0]["caption"],
        table[0]["prompt"],
        table[0]["score"],
    )
    np.testing.assert_allclose(expected_T, soundfile.read(io.BytesIO(sound))[0], atol=1e-4)


@pytest.mark.parametrize("form", ["flac", "wav"])
def test_a_sound_file_is_what_was_made(form):
    """16 bits of it, and the same bytes every time."""
    wave_T = np.sin(np.arange(1_600) / 9).astype(np.float32) * 0.8
    data = encode_sound(wave_T, 16_000, form)
    found_T, rate_hz = decode_sound(data)

    assert 16_000 == rate_hz
    assert data == encode_sound(wave_T, 16_000, form)
    np.testing.assert_allclose(wave_T, found_T, atol=1 / 2**15)


def test_an_undecodable_file_has_no_score():
    """Its vector is the fallback, and the files beside it keep theirs."""
    sound = encode_sound(np.sin(np.arange(16_000) / 9).astype(np.float32), 16_000, "wav")
    alone_MD = SampleScorer(Judge(judge(), "audio")).embed([sound])

    units_MD = SampleScorer(Judge(judge(), "audio")).embed([b"no sound", sound, None])

    assert np.isnan(units_MD[[0, 2]]).all()
    np.testing.assert_allclose(alone_MD[0], units_MD[1], atol=1e-6)
    assert not SampleScorer(Judge(judge(), "audio"), fallback=0.0).embed([None]).any()
