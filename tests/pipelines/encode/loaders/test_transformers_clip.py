import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from pipelines.encode.encoder import EncoderSpec, encode
from pipelines.encode.loaders.transformers_clip import TransformersClip
from pipelines.errors import UndecodableMediaError

DIMS = {"clip": 24, "siglip": 64}


@pytest.fixture(scope="module", params=list(DIMS))
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def spec(clip_models, kind):
    loader = TransformersClip(str(clip_models[kind]), None, "fp32", 4)
    return EncoderSpec(loader.space(), loader)


def test_vectors_are_the_librarys_own(clip_models, kind, spec, jpeg):
    """Pictures and texts come out as transformers' single call gives them, and keep their raw norm."""
    import torch
    from transformers import AutoModel, AutoProcessor

    folder = clip_models[kind]
    model, processor = AutoModel.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    seen = processor(images=Image.open(io.BytesIO(jpeg(1))), return_tensors="pt")
    # SigLIP was trained on padded texts, and its documentation says so; CLIP does not mind.
    read = processor(text="a red bell", padding="max_length", truncation=True, return_tensors="pt")
    with torch.inference_mode():
        picture_D = model.get_image_features(**seen).pooler_output[0].numpy()
        text_D = model.get_text_features(**read).pooler_output[0].numpy()

    towers = spec.open()
    for expected_D, tower, item in (
        (picture_D, towers["image"], jpeg(1)),
        (text_D, towers["text"], "a red bell"),
    ):
        unit_ND, norms_N = encode(tower, [tower.prepare(item)], 4)
        np.testing.assert_allclose(expected_D, unit_ND[0] * norms_N[0], atol=1e-5)


def test_a_short_text_needs_no_padding_in_clip(clip_models, jpeg):
    """CLIP's own call pads a single text with nothing: the vector is the same."""
    import torch
    from transformers import CLIPModel, CLIPProcessor

    folder = clip_models["clip"]
    read = CLIPProcessor.from_pretrained(folder)(text="a bell", return_tensors="pt")
    with torch.inference_mode():
        text_D = CLIPModel.from_pretrained(folder).eval().get_text_features(**read).pooler_output[0].numpy()
    tower = TransformersClip(str(folder), None, "fp32", 4).load()["text"]

    unit_ND, norms_N = encode(tower, [tower.prepare("a bell")], 4)

    np.testing.assert_allclose(text_D, unit_ND[0] * norms_N[0], atol=1e-5)


def test_a_vector_does_not_depend_on_its_neighbours(spec, jpeg):
    """Alone, in company, and at any place in a batch: the same bits."""
    tower = spec.open()["image"]
    pieces = [tower.prepare(jpeg(seed)) for seed in range(7)]
    together, _ = encode(tower, pieces, 4)

    backwards, _ = encode(tower, pieces[::-1], 4)
    alone = np.concatenate([encode(tower, [piece], 4)[0] for piece in pieces])

    np.testing.assert_array_equal(together, backwards[::-1])
    np.testing.assert_array_equal(together, alone)


def test_preparing_is_safe_in_threads(spec, jpeg):
    """Eight threads prepare what one does."""
    towers = spec.open()
    jobs = [("image", jpeg(seed)) for seed in range(12)] + [("text", f"bell {n}") for n in range(100)]
    alone = [towers[modality].prepare(item) for modality, item in jobs]
    with ThreadPoolExecutor(8) as pool:
        at_once = list(pool.map(lambda job: towers[job[0]].prepare(job[1]), jobs))

    for one, other in zip(alone, at_once, strict=True):
        np.testing.assert_array_equal(one, other)


def test_space_names_what_decides_a_vector(spec, kind):
    """The dimensions are the model's, and what its processor does is said in one line."""
    assert (f"transformers:{kind}", DIMS[kind]) == (spec.space.encoder, spec.space.dims)
    assert "times 0.0039215686, mean 0." in spec.space.preprocessing
    assert ("crop 32x32" in spec.space.preprocessing) == (kind == "clip")


def test_half_precision_stays_near(clip_models, kind, spec, jpeg):
    """Half the bits, nearly the same direction."""
    half = TransformersClip(str(clip_models[kind]), None, "bf16", 4).load()["image"]
    pieces = [spec.open()["image"].prepare(jpeg(seed)) for seed in range(5)]

    full_ND, half_ND = encode(spec.open()["image"], pieces, 4)[0], encode(half, pieces, 4)[0]

    assert (full_ND * half_ND).sum(axis=1).min() > 0.999


def test_pictures_of_every_mode(spec):
    """A grey picture, one with a palette and one with an alpha channel are seen in colour."""
    tower = spec.open()["image"]
    for mode in ("L", "P", "RGBA", "CMYK"):
        made = io.BytesIO()
        Image.new(mode, (20, 30)).save(made, "TIFF")
        assert (1, 3, 32, 32) == tower.prepare(made.getvalue()).shape


@pytest.mark.parametrize("data", [b"<html>", b""], ids=["html", "empty"])
def test_bad_pictures(spec, data):
    """What cannot be decoded is an outcome, with its reason."""
    with pytest.raises(UndecodableMediaError, match="undecodable"):
        spec.open()["image"].prepare(data)
