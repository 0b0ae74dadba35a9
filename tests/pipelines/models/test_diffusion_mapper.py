import pytest
import torch

from pipelines.models.diffusion_mapper import DiffusionMapper, alpha_bar


def test_the_noise_schedule_goes_from_signal_to_noise():
    """Nearly all signal at the beginning, nearly none at the end."""
    begin, end = alpha_bar(torch.tensor([0, 999])).tolist()

    assert begin > 0.99
    assert end < 0.001


def test_a_vector_is_sampled_alike_in_every_batch():
    """Sampling begins at one fixed point, so neighbours in a batch change nothing."""
    net = DiffusionMapper(6, 5, 64, [torch.Generator().manual_seed(1)], depth=1).eval()
    x_NI = torch.nn.functional.normalize(torch.arange(24.0).reshape(4, 6) - 9, dim=-1)
    together = net.translate(x_NI)

    torch.testing.assert_close(together[0, 2:3], net.translate(x_NI[2:3])[0], atol=1e-5, rtol=0)
    assert not torch.allclose(together[0, 0], together[0, 2])


def test_each_seed_draws_a_vector_of_its_own():
    """A row's vector depends on its seed and not on its neighbours; without seeds nothing is drawn."""
    net = DiffusionMapper(6, 5, 64, [torch.Generator().manual_seed(1)], depth=1).eval()
    x_NI = torch.nn.functional.normalize(torch.arange(6.0).expand(3, 6) - 2, dim=-1)
    drawn = net.translate(x_NI, [7, 8, 7])[0]

    assert net.is_drawn
    torch.testing.assert_close(drawn[0], drawn[2], atol=1e-5, rtol=0)
    assert not torch.allclose(drawn[0], drawn[1], atol=1e-2)
    torch.testing.assert_close(drawn[1:2], net.translate(x_NI[:1], [8])[0], atol=1e-5, rtol=0)
    fixed = net.translate(x_NI)[0]
    torch.testing.assert_close(fixed[0], fixed[1], atol=1e-6, rtol=0)


def test_dropped_conditions_are_not_read():
    """With every condition dropped the loss is the same for any source; guidance moves away from that."""
    generators = [torch.Generator().manual_seed(1)]
    net = DiffusionMapper(6, 5, 64, generators, depth=1, p_uncond=0.999999).eval()
    y_NO = torch.nn.functional.normalize(torch.arange(20.0).reshape(4, 5) - 7, dim=-1)
    losses = [
        net.loss(x_NI, y_NO, torch.Generator().manual_seed(3)).item()
        for x_NI in (torch.eye(6)[:4], torch.eye(6)[2:])
    ]
    plain = net.translate(torch.eye(6)[:4])
    net.guidance = 4.0

    assert losses[0] == losses[1]
    assert not torch.allclose(plain, net.translate(torch.eye(6)[:4]), atol=1e-3)


def test_several_generators_are_refused():
    """The mapper is one net: a stack of two would share its transformer."""
    with pytest.raises(ValueError, match="one generator, not several"):
        DiffusionMapper(6, 5, 64, [torch.Generator(), torch.Generator()])
