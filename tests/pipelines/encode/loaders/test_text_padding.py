import numpy as np
import pytest

from pipelines.encode.loaders.text_padding import allow_narrow_batches, choose_width, list_widths

CLIP = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16, "head_width": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="module")
def make():
    """Make a random CLIP whose text half is changed as asked."""
    import open_clip
    import torch

    def made(of=open_clip.CLIP, **text):
        torch.manual_seed(0)
        return of(**CLIP | {"text_cfg": CLIP["text_cfg"] | text}).eval()

    return made


@pytest.mark.parametrize(
    ("tokens", "full", "width"), [(3, 77, 16), (16, 77, 16), (17, 77, 32), (40, 77, 77), (3, 12, 12)]
)
def test_a_text_gets_the_narrowest_width_that_holds_it(tokens, full, width):
    """Its own length alone decides."""
    assert width == choose_width(tokens, full)
    assert full == list_widths(full)[-1]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_narrow_view_gives_the_vectors_of_the_whole_net(make, precision):
    """The library's own full width and every narrower one agree, on the same weights."""
    import open_clip
    import torch

    model = make().to(getattr(torch, precision))
    ids_BL = open_clip.get_tokenizer("ViT-B-32")(["a red bell", "two birds sing in the rain"])
    with torch.inference_mode():
        vectors = {
            width: view.encode_text(ids_BL[:, :width]).float().numpy()
            for width, view in allow_narrow_batches(model).items()
        }

    assert [16, 32, 77] == sorted(vectors)
    for vectors_BD in vectors.values():
        np.testing.assert_allclose(
            vectors[77], vectors_BD, atol=1e-5 if precision == "float32" else 2e-2, rtol=0
        )
    assert all(view.token_embedding is model.token_embedding for view in allow_narrow_batches(model).values())
    assert 77 == len(model.positional_embedding)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param({"no_causal_mask": True}, id="reads-the-padding"),
        pytest.param({"pool_type": "last"}, id="last"),
    ],
)
def test_a_net_that_reads_the_padding_is_left_whole(make, text):
    """Where what comes after a text counts, nothing may be cut."""
    assert {} == allow_narrow_batches(make(**text))


def test_another_class_is_left_whole(make):
    """Of a net whose text half we do not know nothing is cut."""
    import open_clip

    assert {} == allow_narrow_batches(make(open_clip.CustomTextCLIP))
