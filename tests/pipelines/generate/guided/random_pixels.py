"""A random net of small pictures, and a guide that looks at colours alone."""

from types import SimpleNamespace

import torch
from diffusers import DDPMScheduler, UNet2DModel
from torch import nn

from pipelines.generate.guided.files import save_pixel_diffusion
from pipelines.generate.guided.generator import GuidedGenerator
from pipelines.generate.guided.sampling import GuidedSampler
from pipelines.train.pocket.pixel_diffusion import SCHEDULER
from schemas.guidance import GuidanceCard

SMALL = {
    "sample_size": 8,
    "in_channels": 3,
    "out_channels": 6,
    "block_out_channels": (8, 8),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "UpBlock2D"),
    "norm_num_groups": 4,
}


def make_sampler() -> GuidedSampler:
    """Return a sampler of a random net."""
    torch.manual_seed(0)
    return GuidedSampler(UNet2DModel(**SMALL).eval().requires_grad_(False), DDPMScheduler(**SCHEDULER))


def save_random(folder, **changes):
    """Write a random net as the folder of a pixel diffusion."""
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    save_pixel_diffusion(UNet2DModel(**(SMALL | changes)), SCHEDULER, folder)
    return folder


class FaintNoise(nn.Module):
    """The best guess for pictures that are Gaussian noise of deviation 0.3, so that what leads them shows."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1), requires_grad=False)
        self.config = SimpleNamespace(in_channels=3, sample_size=8)
        self._alphas = DDPMScheduler(**SCHEDULER).alphas_cumprod

    def forward(self, x, times):
        """Return the noise, and a variance between the bounds."""
        kept = self._alphas[times][:, None, None, None]
        noise = x * (1 - kept).sqrt() / (0.09 * kept + 1 - kept)
        return SimpleNamespace(sample=torch.cat([noise, torch.zeros_like(x)], 1))


class ColourGuide:
    """What a guide of one's own offers: a picture is its mean colour, a text the names of colours."""

    side_px = 4

    def embed_pictures(self, pixels):
        """Return mean colours, with a fourth number that is always there."""
        colours = pixels.mean((2, 3))
        return torch.cat([colours, torch.ones(len(pixels), 1)], 1)

    def encode_texts(self, texts):
        """Return 1 for each primary colour that is said, else -1."""
        names = ("red", "green", "blue")
        return torch.tensor([[1.0 if name in text else -1.0 for name in names] + [1.0] for text in texts])


def make_generator(column="clip_image", card=None, batch_rows=2, first=None) -> GuidedGenerator:
    """Return a generator of the random net, led by colours."""
    return GuidedGenerator(
        GuidedSampler(FaintNoise(), DDPMScheduler(**SCHEDULER)),
        ColourGuide(),
        card or GuidanceCard(respacing="10"),
        column,
        batch_rows,
        first,
    )
