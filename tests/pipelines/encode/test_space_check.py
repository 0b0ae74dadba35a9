import shutil

import numpy as np
import pytest

from pipelines.encode.encoder import EncoderSpec
from pipelines.encode.loaders.open_clip import OpenClip
from pipelines.encode.loaders.pocket import make_pocket_clap, make_pocket_clip
from pipelines.encode.space_check import (
    CAPTIONS,
    StoredItems,
    check_against_vectors,
    check_same_space,
    encode_captions,
    verify_space,
)
from pipelines.errors import SpaceError


def spec_of(loader):
    return EncoderSpec(loader.space(), loader)


def resaved(folder, tmp_path, edit):
    """The same encoder, with something else in its folder."""
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy)
    edit(copy)
    return spec_of(OpenClip(f"local-dir:{copy}", "", "fp32", 8))


@pytest.fixture(scope="module")
def spec(tiny_clip):
    return spec_of(OpenClip(f"local-dir:{tiny_clip}", "", "fp32", 8))


def test_a_hundred_different_captions():
    """Of things seen and heard, in places."""
    assert 100 == len(set(CAPTIONS))


def test_another_precision_is_the_same_space(spec, tiny_clip):
    """bf16 passes, and says how near it is."""
    half = spec_of(OpenClip(f"local-dir:{tiny_clip}", "", "bf16", 8))

    assert 0.999 < check_same_space(spec, half) <= 1.0001


def test_pocket_clip_in_half_precision():
    """A trained net passes as well."""
    assert check_same_space(spec_of(make_pocket_clip("fp32")), spec_of(make_pocket_clip("bf16"))) > 0.999


def other_weights(folder):
    import torch
    from safetensors.torch import load_file, save_file

    file = folder / "open_clip_model.safetensors"
    tensors = load_file(file)
    tensors["text_projection"] = tensors["text_projection"][:, torch.randperm(24)].contiguous()
    save_file(tensors, file)


def test_other_weights_of_one_name_are_refused(spec, tiny_clip, tmp_path):
    """Both are named, with the cosine that was found."""
    other = resaved(tiny_clip, tmp_path, other_weights)

    with pytest.raises(SpaceError, match=r"tiny-clip@.* and .*tiny-clip@.*mean cosine of 100"):
        check_same_space(spec, other)


def test_spaces_of_other_lengths_are_none(spec):
    """24 numbers and 256 cannot be compared at all."""
    with pytest.raises(SpaceError, match=r"vectors of 24 numbers and .*pocket.* has"):
        check_same_space(spec, spec_of(make_pocket_clip("fp32")))


def test_vectors_without_a_number_are_refused(spec):
    """A NaN is no agreement."""
    with pytest.raises(SpaceError, match="cosine of 3 captions is nan"):
        check_against_vectors(
            spec, StoredItems("text", CAPTIONS[:3], np.full((3, 24), np.nan, np.float32)), "broken vectors"
        )


@pytest.mark.parametrize("family", ["clip", "clap"])
def test_stored_vectors_are_what_decides(family):
    """The vectors of a dataset, in fp16, are as good as its encoder."""
    spec = spec_of(make_pocket_clip("fp32") if family == "clip" else make_pocket_clap("fp32"))
    stored_ND = encode_captions(spec, CAPTIONS).astype(np.float16)
    old = spec.space.model_copy(update={"library": "a version of last year 1", "batch_rows": 3})

    passed = verify_space(spec, old, lambda: StoredItems("text", CAPTIONS, stored_ND))

    assert old == passed.space
    assert spec.open() is passed.open()
    with pytest.raises(SpaceError, match="a version of last year 1"):
        verify_space(spec, old, lambda: StoredItems("text", CAPTIONS, np.roll(stored_ND, 1, axis=1)))


def test_only_a_claim_is_put_to_the_test(spec):
    """Other weights or another preprocessing are another space, whatever their captions give."""
    for other in ({"weights_sha256": "1"}, {"preprocessing": "squashed"}):
        stored = spec.space.model_copy(update=other)
        assert spec is verify_space(spec, stored, lambda: pytest.fail("asked for rows"))


def test_without_captions_nothing_is_admitted(spec):
    """A dataset that has no text vectors cannot say."""
    old = spec.space.model_copy(update={"library": "a version of last year 1"})

    assert spec is verify_space(spec, old, lambda: StoredItems("text", [], np.zeros((0, 24))))
