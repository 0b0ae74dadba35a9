import numpy as np
import pytest
import torch

from pipelines.metrics import elbo
from pipelines.models.spectrogram_vae import ModernVae, Posterior, SeedVae
from pipelines.train.vae_losses import (
    compute_kl,
    compute_negative_log_likelihood,
    keep_free_bits,
    warm_up,
)


def count_weights(*modules):
    return sum(weight.numel() for module in modules for weight in module.parameters())


@pytest.fixture(scope="module")
def seed_vae(one_thread):
    torch.manual_seed(0)
    return SeedVae().eval()


@pytest.fixture(scope="module")
def modern_vae(one_thread):
    torch.manual_seed(0)
    return ModernVae(32, 48, classes=3, latent=6, widths=(8, 16)).eval()


def test_the_seeds_net_has_its_shapes(seed_vae):
    """512 x 64 through five convolutions to 32 x 31 x 3, a latent of 20, and back."""
    with torch.inference_mode():
        features = seed_vae.encoder(torch.rand(1, 1, 512, 64))
        decoded, posterior = seed_vae(torch.rand(2, 1, 512, 64), torch.zeros(2, 20))

    assert features.shape == (1, 2976)
    assert (posterior.mean.shape, posterior.log_variance.shape) == ((2, 20), (2, 20))
    assert decoded.shape == (2, 1, 512, 64)
    assert decoded.min() >= 0
    assert decoded.max() <= 1
    assert count_weights(seed_vae.encoder, seed_vae.mean, seed_vae.log_sigma) == pytest.approx(
        1.64e6, rel=0.01
    )


@pytest.mark.parametrize(("bands", "frames"), [(64, 304), (128, 128)])
def test_the_modern_net_has_its_shapes(one_thread, bands, frames):
    """Of three seconds at 16 kHz with a hop of 160, and of the squares of bioacoustics."""
    net = ModernVae(bands, frames, widths=(8, 16, 16, 16)).eval()
    with torch.inference_mode():
        decoded, posterior = net(torch.randn(2, 1, bands, frames), torch.zeros(2, 32))

    assert decoded.shape == (2, 1, bands, frames)
    assert posterior.mean.shape == (2, 32)
    with pytest.raises(ValueError, match="cannot be halved 4 times"):
        ModernVae(64, 300)


def test_a_class_changes_what_is_decoded_once_it_is_learnt(one_thread):
    """FiLM begins without effect; a step gives it one, and the class that stands for none has its own."""
    torch.manual_seed(1)
    net = ModernVae(16, 16, classes=2, latent=4, widths=(8, 8))
    latents_ND, classes_N = torch.randn(2, 4), torch.tensor([0, 1])

    def spread():
        with torch.inference_mode():
            same = latents_ND[:1].expand(3, -1)
            return net.decode(same, torch.tensor([0, 1, 2])).std(0).max().item()

    before = spread()
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        (net.decode(latents_ND, classes_N) - classes_N[:, None, None, None]).square().mean().backward()
        optimizer.step()

    assert before == pytest.approx(0, abs=1e-6)
    assert spread() > 1e-3


def test_the_prior_of_a_class(modern_vae):
    """Standard where it is not learnt, and always for the class that stands for none."""
    like = torch.zeros(3, 6)
    standard = modern_vae.find_prior(torch.tensor([0, 2, 3]), like)
    with torch.no_grad():
        modern_vae.prior.weight[2, 0] = 1.5
    learnt = modern_vae.find_prior(torch.tensor([0, 2, 3]), like)

    assert standard.mean.abs().max() == standard.log_variance.abs().max() == 0
    assert learnt.mean[:, 0].tolist() == [0, 1.5, 0]
    assert compute_kl(Posterior(learnt.mean, learnt.log_variance), learnt).abs().max() == 0
    assert modern_vae.find_prior(None, like).mean.shape == (3, 6)


def test_the_losses_are_those_of_the_scores():
    """KL and likelihood in torch and in numpy are the same numbers."""
    rng = np.random.default_rng(0)
    mean, log_variance, prior_mean, prior_log_variance = rng.normal(size=(4, 5, 3))
    kl = compute_kl(
        Posterior(torch.tensor(mean), torch.tensor(log_variance)),
        Posterior(torch.tensor(prior_mean), torch.tensor(prior_log_variance)),
    )
    decoded, target = rng.normal(size=(2, 5, 1, 4, 6))
    errors_N = ((decoded - target) ** 2).sum((1, 2, 3))
    likelihood = compute_negative_log_likelihood(
        torch.tensor(decoded), torch.tensor(target), torch.tensor(-0.3, dtype=torch.float64)
    )

    np.testing.assert_allclose(kl, elbo.kl_divergence(mean, log_variance, prior_mean, prior_log_variance))
    np.testing.assert_allclose(likelihood, -elbo.log_likelihood(errors_N, 24, -0.3))
    assert compute_kl(Posterior(torch.zeros(2, 3), torch.zeros(2, 3))).abs().max() == 0


def test_the_learnt_variance_goes_to_the_mean_squared_error(one_thread):
    """sigma-VAE: of fixed reconstructions the gradient ends where s^2 is their mean squared error."""
    torch.manual_seed(0)
    net = ModernVae(16, 16, latent=4, widths=(8, 8))
    target = torch.randn(8, 1, 16, 16)
    decoded = target + 0.2 * torch.randn_like(target)
    optimizer = torch.optim.Adam([net.log_variance], 0.05)
    for _ in range(400):
        optimizer.zero_grad()
        compute_negative_log_likelihood(decoded, target, net.find_log_variance()).mean().backward()
        optimizer.step()
    errors_N = (decoded - target).square().sum((1, 2, 3)).numpy()

    assert net.log_variance.item() == pytest.approx(elbo.best_log_variance(errors_N, 256), abs=0.01)
    assert net.log_variance.exp().item() == pytest.approx(0.04, rel=0.1)


def test_a_few_steps_learn(one_thread):
    """The ELBO of six spectrograms rises, with latents in use; no trained net is claimed."""
    torch.manual_seed(0)
    net = ModernVae(16, 16, classes=2, latent=4, widths=(8, 16))
    target = torch.randn(2, 1, 16, 16).repeat_interleave(3, 0) + 0.1 * torch.randn(6, 1, 16, 16)
    classes_N = torch.tensor([0, 0, 0, 1, 1, 1])
    optimizer = torch.optim.Adam(net.parameters(), 5e-3)
    losses = []
    for step in range(80):
        optimizer.zero_grad()
        decoded, posterior = net(target, torch.randn(6, 4), classes_N)
        kl_ND = compute_kl(posterior, net.find_prior(classes_N, target))
        losses_N = compute_negative_log_likelihood(decoded, target, net.find_log_variance())
        (losses_N.mean() + warm_up(step, 40) * keep_free_bits(kl_ND, 0.1)).backward()
        optimizer.step()
        losses.append((losses_N.mean() + kl_ND.sum(1).mean()).item())

    assert losses[-1] < losses[0] - 50
    assert net.find_log_variance() < 0


def test_free_bits_and_warm_up():
    """A dimension below its free nats has no gradient; the weight of the KL rises to 1."""
    kl_ND = torch.tensor([[0.05, 1.0], [0.05, 3.0]], requires_grad=True)
    counted = keep_free_bits(kl_ND, 0.1)
    counted.backward()

    assert counted.item() == pytest.approx(2.1)
    assert kl_ND.grad.tolist() == [[0, 0.5], [0, 0.5]]
    assert [warm_up(step, 10) for step in (0, 5, 10, 20)] == [0, 0.5, 1, 1]
    assert warm_up(0, 0) == 1
