import json
import shutil

import numpy as np
import pytest

from pipelines.encode.conformance import check
from pipelines.encode.encoder import EncoderSpec, encode
from pipelines.encode.loaders.audioldm_clap import AudioLdmClap
from pipelines.encode.loaders.laion_clap import LaionClap
from pipelines.encode.loaders.pocket import WEIGHTS, make_pocket_clap
from pipelines.encode.resolve import resolve
from pipelines.encode.space_check import check_same_space
from pipelines.errors import ConfigError
from schemas.encoders import Encode

CLAP = WEIGHTS / "clap"


def saved(folder, text_encoder, tokenizer):
    """Write what diffusers keeps of a CLAP: its text tower and its tokenizer."""
    text_encoder.save_pretrained(folder / "text_encoder")
    tokenizer.save_pretrained(folder / "tokenizer")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "AudioLDMPipeline"}))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The part of the pocket AudioLDM that makes vectors of texts."""
    import torch
    from transformers import AutoTokenizer, ClapTextModelWithProjection

    text_encoder = ClapTextModelWithProjection.from_pretrained(CLAP, dtype=torch.float16)
    return saved(
        tmp_path_factory.mktemp("weights") / "audioldm", text_encoder, AutoTokenizer.from_pretrained(CLAP)
    )


def spec_of(loader):
    return EncoderSpec(loader.space(), loader)


def test_the_pocket_audioldm_speaks_pocket_clap(folder, flac):
    """Texts through its own tower and sounds through pocket CLAP's: both as pocket CLAP has them."""
    one, other = (
        spec_of(AudioLdmClap(str(folder), None, str(CLAP), "fp32", 8)),
        spec_of(make_pocket_clap("fp32")),
    )

    assert check_same_space(one, other) == pytest.approx(1, abs=1e-5)
    own, pocket = one.open()["audio"], other.open()["audio"]
    sound = flac(3, length_s=3.0)
    np.testing.assert_allclose(
        encode(pocket, [pocket.prepare(sound)], 8)[0], encode(own, [own.prepare(sound)], 8)[0], atol=1e-5
    )


def test_it_keeps_what_an_encoder_promises(folder):
    """The kit for encoders of one's own finds nothing."""
    findings = list(check(AudioLdmClap(str(folder), None, str(CLAP), "fp32", 4)))
    assert [] == [str(finding) for finding in findings if not finding.ok]


def test_the_space_is_of_both_towers(folder):
    """It names the folder, not where it lies; both files of weights are in the fingerprint."""
    space = AudioLdmClap(str(folder), None, str(CLAP), "fp32", 8).space()

    assert "audioldm:audioldm" == space.encoder
    assert 512 == space.dims
    assert space.weights_sha256 != make_pocket_clap("fp32").space().weights_sha256
    assert str(folder) not in space.model_dump_json()


def test_a_datasets_file_may_ask_for_it(folder):
    """As `encode.clap: {loader: audioldm, ...}`; its space is pinned as any other."""
    asked = {"loader": "audioldm", "weights": str(folder), "audio": str(CLAP)}
    encode_key = Encode(clip=None, clap=asked, precision="fp32")

    assert "audioldm:audioldm" == resolve(encode_key)["clap"].space.encoder


def other_projection(folder):
    from safetensors.torch import load_file, save_file

    file = folder / "text_encoder" / "model.safetensors"
    tensors = load_file(file)
    tensors["text_projection.linear1.weight"] = tensors["text_projection.linear1.weight"].flip(0)
    save_file(tensors, file)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (other_projection, "holds another CLAP"),
        (lambda folder: shutil.rmtree(folder / "tokenizer"), "it has no tokenizer"),
        (lambda folder: (folder / "model_index.json").unlink(), "it has no model_index.json"),
        (lambda folder: (folder / "text_encoder/model.safetensors").unlink(), "holds no model.safetensors"),
        (lambda folder: (folder / "tokenizer/tokenizer.json").unlink(), "the tokenizer in"),
    ],
    ids=["two-claps", "no-tokenizer", "no-index", "no-weights", "no-words"],
)
def test_what_does_not_belong_together_is_refused(folder, tmp_path, harm, said):
    """A wrong basis gives noise for sounds and no error: so it is looked at before."""
    shutil.copytree(folder, tmp_path / "harmed")
    harm(tmp_path / "harmed")
    with pytest.raises(ConfigError, match=said):
        AudioLdmClap(str(tmp_path / "harmed"), None, str(CLAP), "fp32", 8).load()


def test_a_rotated_audio_tower_is_refused(folder, tmp_path):
    """Its text projection fits, so only its sounds say it: they go with the words of others."""
    import torch
    from safetensors.torch import load_file, save_file

    turned = shutil.copytree(CLAP, tmp_path / "turned")
    tensors = load_file(turned / "model.safetensors")
    turn = torch.linalg.qr(torch.randn(512, 512, generator=torch.Generator().manual_seed(0)))[0]
    for name in ("audio_projection.linear2.weight", "audio_projection.linear2.bias"):
        tensors[name] = (turn @ tensors[name].float()).half().contiguous()
    save_file(tensors, turned / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(ConfigError, match=r"do not go with the words of .*mean cosine -?0\.0"):
        AudioLdmClap(str(folder), None, str(turned), "fp32", 8).load()


def test_a_missing_audio_tower_is_said(folder):
    """It is in the original checkpoint alone."""
    with pytest.raises(ConfigError, match=r"neither a checkpoint nor a folder /nowhere"):
        AudioLdmClap(str(folder), None, "/nowhere", "fp32", 8).space()


@pytest.mark.slow
def test_the_audio_tower_of_an_original_checkpoint(laion, roberta, flac, tmp_path):
    """HTSAT out of `cond_stage_model`, the text tower as diffusers converts it: LAION's vectors, both."""
    import torch
    from transformers import AutoTokenizer, ClapTextConfig, ClapTextModelWithProjection

    file, model, _ = laion
    state = {f"cond_stage_model.model.{name}": tensor for name, tensor in model.state_dict().items()}
    state["model.diffusion_model.out.2.bias"] = torch.zeros(8)
    torch.save({"state_dict": state}, tmp_path / "audioldm-s-full.ckpt")
    text = ClapTextModelWithProjection(
        ClapTextConfig(
            vocab_size=300, num_hidden_layers=2, layer_norm_eps=1e-5, bos_token_id=0, eos_token_id=2,
            pad_token_id=1, max_position_embeddings=514, projection_dim=512,
        )
    )  # fmt: skip
    parts = (("text_branch.", "text_model."), ("projection.0", "projection.linear1"))
    parts += (("projection.2", "projection.linear2"),)
    converted = {}
    for name, tensor in model.state_dict().items():
        if name.startswith(("text_branch.", "text_projection.")):
            for old, own in parts:
                name = name.replace(old, own)  # noqa: PLW2901
            converted[name] = tensor
    report = text.load_state_dict(converted, strict=False)
    assert {"position_ids", "token_type_ids"} == {key.rpartition(".")[2] for key in report.missing_keys}
    folder = saved(tmp_path / "audioldm-s", text, AutoTokenizer.from_pretrained(roberta))

    one = spec_of(AudioLdmClap(str(folder), None, str(tmp_path / "audioldm-s-full.ckpt"), "fp32", 2))
    other = spec_of(LaionClap(str(file), None, str(roberta), "fp32", 2))

    for modality, item in (("audio", flac(3, length_s=3.0)), ("text", "rain on a tin roof")):
        towers = one.open()[modality], other.open()[modality]
        own_ND, laions_ND = (encode(tower, [tower.prepare(item)], 2)[0] for tower in towers)
        np.testing.assert_allclose(laions_ND, own_ND, atol=1e-5)
