"""What leads a picture: cutouts, distances, and the steps by their names."""

import math

import pytest
import torch

from pipelines.errors import ConfigError
from pipelines.models.guidance import (
    CutoutSettings,
    compute_blur_loss,
    compute_range_loss,
    compute_spherical_distance,
    compute_total_variation,
    draw_cutouts,
)
from pipelines.models.respacing import choose_timesteps


def seeded(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_the_distance_is_half_the_square_of_the_angle():
    east, north = torch.eye(2)
    half = torch.tensor([math.cos(math.pi / 3), math.sin(math.pi / 3)])
    found = [float(compute_spherical_distance(east, each)) for each in (east, half, north)]

    assert found == pytest.approx([0, (math.pi / 3) ** 2 / 2, (math.pi / 2) ** 2 / 2], abs=1e-5)


def test_terms_of_the_pixels_are_what_they_say():
    """A step of 1 between two of three columns; a pixel of 3; a constant shift of 0.5."""
    step = torch.zeros(1, 1, 3, 3)
    step[..., 2:] = 1
    loud = torch.zeros(1, 1, 2, 2)
    loud[0, 0, 0, 0] = 3

    assert compute_total_variation(step).tolist() == [0.5]
    assert compute_range_loss(loud).tolist() == [1.0]
    assert compute_blur_loss(torch.zeros(1, 3, 32, 32), torch.full((1, 3, 32, 32), 0.5)).tolist() == [0.25]


def test_cutouts_are_no_smaller_than_was_said_and_are_their_pictures_own():
    """A picture whose pixels are their column: a cutout's range says its width; batches change nothing."""
    columns = torch.arange(32.0).expand(1, 3, 32, 32)
    settings = CutoutSettings(64, 0.5, 1.0)
    found = draw_cutouts(columns, 64, settings, seeded(1))
    widths = (found.amax((1, 2, 3)) - found.amin((1, 2, 3)) + 1).round()
    both = draw_cutouts(columns.expand(2, -1, -1, -1), 64, settings, seeded(0, 1))

    assert found.shape == (64, 3, 64, 64)
    assert {*range(17, 32)} <= {*widths.int().tolist()} <= {*range(16, 33)}
    assert torch.equal(both[64:], found)
    assert not torch.equal(both[:64], found)


def test_with_a_least_of_one_every_cutout_is_the_picture():
    pixels = torch.rand(1, 3, 32, 32)
    found = draw_cutouts(pixels, 16, CutoutSettings(3, 1.0, 1.0), seeded(0))

    torch.testing.assert_close(found, torch.nn.functional.avg_pool2d(pixels, 2).expand(3, -1, -1, -1))


@pytest.mark.parametrize(
    ("text", "count", "begin", "end"),
    [
        ("50", 50, [0, 20, 41, 61], 999),
        ("ddim50", 50, [0, 20, 40, 60], 980),
        ("1000", 1000, [0, 1, 2, 3], 999),
        ("1", 1, [0], 0),
        ("2,3", 5, [0, 499, 500, 750], 999),
    ],
)
def test_steps_are_named_as_guided_diffusion_does(text, count, begin, end):
    found = choose_timesteps(text, 1000)

    assert (len(found), found[: len(begin)], found[-1]) == (count, begin, end)
    assert found == sorted({*found})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fast", "write a number of steps as in 50, ddim50"),
        ("0", "write a number of steps"),
        ("-5", "write a number of steps"),
        ("2000", "2000 steps of 1000 times cannot be taken"),
        ("ddim300", "cannot be cut into 300 with a whole stride"),
        ("600,10", "600 steps of 500 times"),
    ],
)
def test_other_names_of_steps_are_refused(text, expected):
    with pytest.raises(ConfigError, match=expected):
        choose_timesteps(text, 1000)
