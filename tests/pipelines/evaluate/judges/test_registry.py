"""Judges by name."""

import pytest

from pipelines.encode.encoder import EncoderSpec
from pipelines.encode.loaders.pocket import WEIGHTS, make_pocket_clap
from pipelines.errors import ConfigError
from pipelines.evaluate.judges.independence import is_independent, share_weights
from pipelines.evaluate.judges.registry import check_rate, choose_judge, choose_judges


def pocket_clap():
    loader = make_pocket_clap("fp32")
    return EncoderSpec(loader.space(), loader)


OWN = "tests.pipelines.evaluate.judges.own_judge:Brightness"


def test_pocket_is_every_pocket_judge_of_the_medium():
    """Each under its own name, and once."""
    names = [spec.name for spec in choose_judges(["pocket", "pocket-sound-cnn", "clap:pocket"], "sound")]

    assert ["pocket-sound-cnn", "pocket-sound-transformer", "clap:pocket"] == names
    assert {"picture"} == {spec.medium for spec in choose_judges(["pocket"], "picture")}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "nobody",
            "there is no judge 'nobody'; it must be one of pocket, ast:..., clap:..., clip:..., panns",
        ),
        ("clap", "there is no judge 'clap'"),
        (
            "clip:pocket",
            "judge clip:pocket looks at pictures, and what is judged are sounds; name a judge of s",
        ),
        ("clip:nothing", "'nothing' is neither a folder nor OWNER/NAME of the hub"),
        (OWN, r"names .*Brightness as judge, and only code that you name yourself is run"),
    ],
)
def test_a_judge_that_is_not_there(name, said):
    """One sentence of what was found and what is wanted."""
    with pytest.raises(ConfigError, match=said):
        choose_judges([name], "sound")


def test_no_pocket_judge_reads_texts():
    """So another must be named."""
    with pytest.raises(ConfigError, match="no pocket judge looks at texts; name another judge"):
        choose_judges(["pocket"], "text")


def test_a_judge_of_ones_own(jpeg):
    """A class whose code is its fingerprint; what it lacks it does not know."""
    spec = choose_judge(OWN, {OWN})
    judge = spec.open()

    assert (OWN, "picture") == (spec.name, spec.medium)
    assert 64 == len(spec.fingerprint())
    assert (2, 1) == judge.embed([jpeg(1), jpeg(2)]).shape
    assert (None, None, None) == (
        judge.embed_texts(["a"]),
        judge.classify([], ["a"]),
        judge.read_attributes([]),
    )


def test_a_judge_of_another_rate():
    """A protocol that asks for 32 kHz is not served by one of 16 kHz."""
    judge = choose_judge("pocket-sound-cnn").open()
    check_rate(judge, 16_000)
    with pytest.raises(ConfigError, match="pocket-sound-cnn hears at 16000 Hz, and 32000 Hz were asked for"):
        check_rate(judge, 32_000)


def test_a_judge_that_conditioned_is_not_independent(one_thread):
    """The same weights, whatever their precision or library; another net is."""
    encoders = [pocket_clap()]
    used = [pocket_clap().space]
    own, other = (choose_judge(name) for name in ("clap:pocket", "pocket-sound-cnn"))

    assert not is_independent(own, own.open(), used, encoders)
    assert is_independent(other, other.open(), used, encoders)
    assert is_independent(own, own.open(), [], encoders)
    renamed = [used[0].model_copy(update={"precision": "bf16", "library": "other"})]
    assert not is_independent(own, own.open(), renamed, encoders)
    assert share_weights(["ab/512d"], ["cd/2d", "ab"])


def test_a_copy_in_other_files_is_not_independent(tmp_path, one_thread):
    """Rounded and saved again, its fingerprint is another one: its captions give it away."""
    import shutil

    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(WEIGHTS / "clap", tmp_path / "copy")
    tensors = {name: tensor.float() for name, tensor in load_file(copy / "model.safetensors").items()}
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    spec = choose_judge(f"clap:{copy}")
    encoders = [pocket_clap()]

    assert not is_independent(spec, spec.open(), [pocket_clap().space], encoders)


def test_a_class_without_a_medium_is_refused():
    """Its sentence says what to give it."""
    name = "tests.pipelines.evaluate.judges.own_judge:Nothing"
    with pytest.raises(ConfigError, match="has the medium None; give its class sound, picture or text"):
        choose_judge(name, {name})
