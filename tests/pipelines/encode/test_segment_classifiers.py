import io
from dataclasses import dataclass

import numpy as np
import pytest
import soundfile
import soxr

from pipelines.encode.loaders.custom import CustomTower
from pipelines.encode.places import check_encoders
from pipelines.encode.resolve import resolve
from pipelines.encode.segment_stages import add_segment_stages
from pipelines.errors import ConfigError
from schemas.encoders import Encode
from schemas.sample import SAMPLE_RATE_HZ
from schemas.segment import Segment
from schemas.strict import Trust
from tests.pipelines.encode.sounding_clips import clips, flac


@pytest.fixture(scope="module")
def specs(one_thread):
    """The pocket models."""
    return resolve(Encode(clip="pocket", clap="pocket"))


@dataclass(frozen=True)
class Loudness:
    """Two classes: how loud a sound is, and how quiet."""

    scale: float = 1.0

    def list_classes(self):
        return ("Loud", "Quiet")

    def load(self):
        def prepare(item):
            samples_T, _ = soundfile.read(io.BytesIO(item))
            return np.array([[np.abs(samples_T).mean() * self.scale]], np.float32)

        return CustomTower(prepare, lambda level_B: np.concatenate([level_B, 1 - level_B], axis=1))


LOUDNESS = f"{__name__}:Loudness"


def test_a_classifier_of_ones_own(specs):
    """It hears what its class names; the mean of a full-scale square wave is 1."""
    wave_T = np.full(10 * SAMPLE_RATE_HZ, 0.01)
    wave_T[5 * SAMPLE_RATE_HZ : 8 * SAMPLE_RATE_HZ] = 0.9
    segment = Segment(mode="best", by={"loader": LOUDNESS, "scale": 1.0}, classes=["loud"])
    (stage,) = add_segment_stages(segment, specs, {LOUDNESS})
    done = stage.open()(clips([flac(wave_T)]))

    # The windows at 4, 5 and 6 s have two thirds of it or more.
    assert (4.0, 5.0) == (done["segment_start_s"][0], done["segment_length_s"][0])
    assert done["segment_score"][0] == pytest.approx(0.9, abs=1e-3)
    with pytest.raises(ConfigError, match="only code that you name yourself"):
        add_segment_stages(segment, specs)


@pytest.fixture(scope="module")
def ast_folder(tmp_path_factory, one_thread):
    """A random audio spectrogram transformer over three labels and windows of 0.64 s."""
    import torch
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    torch.manual_seed(0)
    labels = {0: "Animal", 1: "Dog", 2: "Speech"}
    folder = tmp_path_factory.mktemp("weights") / "ast"
    config = ASTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_length=64,
        num_mel_bins=32, id2label=labels, label2id={name: number for number, name in labels.items()},
    )  # fmt: skip
    ASTForAudioClassification(config).save_pretrained(folder)
    ASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(folder)
    return folder


def test_the_audio_spectrogram_transformer(specs, ast_folder):
    """Its probability of a class is what transformers computes of the same second; the best one wins."""
    import torch
    from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

    rng = np.random.default_rng(0)
    wave_T = rng.normal(0, 0.1, 3 * SAMPLE_RATE_HZ).astype(np.float32)
    wave_T[SAMPLE_RATE_HZ : 2 * SAMPLE_RATE_HZ] *= np.sin(np.arange(SAMPLE_RATE_HZ) / 20)
    segment = Segment(
        mode="best", by=f"ast:{ast_folder}", classes=["dog"], segment_s=0.6, below="keep", merge=False
    )
    (stage,) = add_segment_stages(segment, specs)
    done = stage.open()(clips([flac(wave_T)]))
    extractor = AutoFeatureExtractor.from_pretrained(ast_folder)
    net = AutoModelForAudioClassification.from_pretrained(ast_folder)
    samples_T, _ = soundfile.read(io.BytesIO(done["flac"][0]), dtype="float32")
    heard_T = soxr.resample(samples_T, SAMPLE_RATE_HZ, 16_000)
    with torch.inference_mode():
        logits_C = net(**extractor(heard_T, sampling_rate=16_000, return_tensors="pt")).logits[0]

    assert done["segment_score"][0] == pytest.approx(float(logits_C.sigmoid()[1]), abs=1e-3)
    assert segment.get_pinned()["by"] == {"loader": "ast", "weights": "ast"}


def test_a_class_that_nobody_knows(specs, ast_folder):
    """The nearest ones of the classifier are named, before anything is loaded."""
    segment = Segment(mode="best", by=f"ast:{ast_folder}", classes=["Dogs"])

    with pytest.raises(ConfigError, match=r"no class 'Dogs'; of its 3 take such as dog"):
        add_segment_stages(segment, specs)


@pytest.mark.parametrize(
    ("by", "says"),
    [
        pytest.param({"loader": LOUDNESS}, "only code that you name yourself is run", id="class"),
        pytest.param({"loader": "ast", "weights": "/theirs"}, "gives encode.segment.by.weights", id="file"),
    ],
)
def test_a_root_names_no_classifier(by, says):
    """A root may come from anybody: neither its classes are imported nor its weights loaded."""
    encode = Encode.model_validate({"segment": {"mode": "best", "by": by, "classes": ["loud"]}})
    keys = frozenset(f"encode.segment.by.{key}" for key in by)
    theirs = encode.with_trust(Trust(root_keys=keys, source="its/dataset.json"))

    check_encoders(encode)
    check_encoders(theirs, ["clap"])
    with pytest.raises(ConfigError, match=says):
        check_encoders(theirs)
