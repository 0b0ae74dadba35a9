"""A guided diffusion follows what leads it, in the share that was asked for, and flees what repels."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from pipelines.errors import ConfigError
from pipelines.generate.guided.params import GuidanceTarget, GuidedParams, encode_vector, parse_weighted
from schemas.guidance import DistanceRange, GuidanceCard
from tests.pipelines.generate.guided.random_pixels import make_generator

RED, BLUE = (np.array([[1, -1, -1, 1]], np.float32) / 2, np.array([[-1, -1, 1, 1]], np.float32) / 2)
LED = {"scale": 2000.0, "smoothness": 0.0, "saturation": 0.0}


def prompt(vector, weight=1.0, kind="text"):
    return GuidanceTarget(kind=kind, name="x", weight=weight, vector=encode_vector(vector[0]))


def make(prompts=(), seeds=(5,), **settings):
    """Return the pictures, and how red and how blue each is beside its other colours."""
    params = GuidedParams.model_validate({**LED, "prompts": tuple(prompts), **settings})
    pixels = make_generator(None).generate({}, seeds, params).data
    red, green, blue = pixels.astype(float).mean((1, 2)).T
    return pixels, float((red - green).mean()), float((blue - green).mean())


def test_a_picture_follows_what_leads_it_and_flees_what_repels():
    free = make([prompt(RED)], scale=0.0)[1]
    near, far = make([prompt(RED)])[1], make([prompt(RED, -1)])[1]

    assert far < free - 5 < free + 5 < near
    assert make([prompt(RED)], method="ddim")[1] > make([prompt(RED)], method="ddim", scale=0.0)[1] + 5


def test_weights_are_shares():
    """Two of 3 are two halves; a half of each colour lies between the whole of both."""
    halves, thirds = make([prompt(RED), prompt(BLUE)]), make([prompt(RED, 3), prompt(BLUE, 3)])
    red, blue = make([prompt(RED)]), make([prompt(BLUE)])

    assert np.array_equal(halves[0], thirds[0])
    assert red[2] < halves[2] < blue[2]
    assert blue[1] < halves[1] < red[1]


def test_a_calibrated_half_is_half_of_what_can_be_won():
    """Of sounds a picture can win twice as much, so their distance counts half: a text at half the weight."""
    ranges = {"text": DistanceRange(noise=1, matched=0.5), "sound": DistanceRange(noise=1, matched=0)}
    generator = make_generator(None, GuidanceCard(respacing="10", ranges=ranges))

    def paint(sound, **settings):
        params = GuidedParams.model_validate({**LED, "prompts": (prompt(RED), sound), **settings})
        return generator.generate({}, [3], params).data

    measured = paint(prompt(BLUE, 1, "sound"))
    weighted = paint(prompt(BLUE, 0.5), calibrated=False, scale=LED["scale"] * 1.5 / 2)

    assert np.abs(measured.astype(int) - weighted.astype(int)).max() <= 1
    assert not np.array_equal(measured, paint(prompt(BLUE, 1, "sound"), calibrated=False))
    with pytest.raises(ConfigError, match="was not measured with targets of image"):
        paint(prompt(BLUE, 1, "image"))


def test_a_picture_does_not_depend_on_its_batch():
    """Nor on its place there: its cutouts are of its own seed."""
    vectors = np.concatenate([RED, BLUE, RED])
    generator, params = make_generator(), GuidedParams.model_validate(LED)
    together = generator.generate({"clip_image": vectors}, [1, 2, 3], params).data
    alone = [
        generator.generate({"clip_image": vectors[row : row + 1]}, [row + 1], params).data[0]
        for row in range(3)
    ]

    assert np.array_equal(together, alone)
    assert not np.array_equal(together[0], together[2])


def test_a_rows_vector_and_prompts_lead_together():
    params = {**LED, "prompts": (prompt(BLUE),)}
    row = make_generator().generate({"clip_image": RED}, [5], GuidedParams.model_validate(params)).data

    assert np.array_equal(row, make([prompt(RED), prompt(BLUE)])[0])


def test_an_init_picture_is_begun_with_and_kept():
    """Half of the steps are left out; `keep` pulls back to it."""
    first = np.full((20, 16, 3), 230, np.uint8)
    generator = make_generator(None, first=first)

    def paint(**settings):
        params = GuidedParams.model_validate({**LED, "scale": 1e-9, "prompts": (prompt(RED),), **settings})
        return float(generator.generate({}, [1], params).data.mean())

    assert abs(paint(skip=9) - 230) < 20
    assert abs(paint(keep=3000) - 230) < abs(paint() - 230)
    small = make_generator(None, first=np.zeros((4, 40, 3), np.uint8))
    with pytest.raises(ConfigError, match="has 40 x 4 px, and the smallest cutout 5"):
        small.generate({}, [1], GuidedParams.model_validate({"prompts": (prompt(RED),)}))


def test_texts_get_unit_vectors_of_the_guide():
    found = make_generator().encode_text(["red and blue", "green"])

    torch.testing.assert_close(torch.from_numpy(found), torch.tensor([[1.0, -1, 1, 1], [-1, 1, -1, 1]]) / 2)


def test_what_leads_nowhere_is_refused():
    with pytest.raises(ConfigError, match="nothing leads the pictures"):
        make()
    with pytest.raises(ConfigError, match="skip and keep are for pictures that begin with another"):
        make([prompt(RED)], skip=3)
    with pytest.raises(ConfigError, match="vectors of 4 and 2 numbers"):
        make([prompt(RED), prompt(RED[:, :2])])
    with pytest.raises(ConfigError, match="all weights are 0"):
        make([prompt(RED, 0)])
    with pytest.raises(ValidationError, match="all weights are 0"):
        GuidedParams.model_validate({"weight": 0, "prompts": (prompt(RED, 0),)})
    for broken in ("", "AAA", encode_vector(np.zeros(4)), encode_vector(np.array([np.inf, 1]))):
        with pytest.raises(ValidationError, match=r"has no direction|is no vector"):
            GuidanceTarget(kind="text", name="x", vector=broken)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a red bell:0.5", ("a red bell", 0.5)),
        ("a red bell:-1", ("a red bell", -1.0)),
        ("a red bell", ("a red bell", 1.0)),
        ("at 12:30 sharp", ("at 12:30 sharp", 1.0)),
        ("a ratio: big", ("a ratio: big", 1.0)),
        ("C:/bell.wav:2", ("C:/bell.wav", 2.0)),
        (":3", (":3", 1.0)),
        ("loud:inf", ("loud:inf", 1.0)),
    ],
)
def test_the_weight_stands_after_the_last_colon_if_it_is_a_number(text, expected):
    assert parse_weighted(text) == expected
