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


def test_several_generators_are_refused():
    """The mapper is one net: a stack of two would share its transformer."""
    with pytest.raises(ValueError, match="one generator, not several"):
        DiffusionMapper(6, 5, 64, [torch.Generator(), torch.Generator()])
