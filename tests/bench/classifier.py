"""A classifier of the miniature world's sounds, apart from the pocket models: band levels and a small net."""

from __future__ import annotations

import numpy as np

from pipelines.miniature import sounds, world

SOUND_S = 5.12
_BANDS, _FFT = 48, 2048
_EPOCHS, _HIDDEN = 400, 128


class BandLevels:
    """Hears which of `world.KINDS` a sound is, from how loud which bands are and how that changes.

    It is trained on sounds of the training split at 16 kHz, which is what the generator makes.
    """

    name = "band levels, two layers"
    sampling_rate_hz = 16_000
    resampler = "scipy polyphase"

    def __init__(self, count: int, seed: int = 0) -> None:
        """Train on so many sounds."""
        import torch

        scenes = [world.draw(seed, "train", number) for number in range(count)]
        found_NF = np.stack([_levels(at_16k(scene)) for scene in scenes])
        self._mean_F, self._spread_F = found_NF.mean(0), found_NF.std(0) + 1e-3
        torch.manual_seed(seed)
        self._net = torch.nn.Sequential(
            torch.nn.Linear(found_NF.shape[1], _HIDDEN),
            torch.nn.ReLU(),
            torch.nn.Dropout(0.3),
            torch.nn.Linear(_HIDDEN, len(world.KINDS)),
        )
        x_NF = torch.from_numpy((found_NF - self._mean_F) / self._spread_F).float()
        y_N = torch.tensor([world.KINDS.index(scene.kind) for scene in scenes])
        steps = torch.optim.AdamW(self._net.parameters(), 2e-3, weight_decay=0.05)
        for _ in range(_EPOCHS):
            loss = torch.nn.functional.cross_entropy(self._net(x_NF), y_N)
            steps.zero_grad()
            loss.backward()
            steps.step()
        self._net.eval()

    def listen(self, waves: list[np.ndarray], sampling_rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
        """Return band levels float32 [N, F] and logits float32 [N, C] of mono sounds at 16 kHz."""
        import torch

        assert sampling_rate_hz == self.sampling_rate_hz
        found_NF = (np.stack([_levels(wave_T) for wave_T in waves]) - self._mean_F) / self._spread_F
        with torch.inference_mode():
            logits_NC = self._net(torch.from_numpy(found_NF).float())
        return found_NF.astype(np.float32), logits_NC.numpy()


def at_16k(scene: world.Scene) -> np.ndarray:
    """Return the sound of a scene at 16 kHz, float32 [T]."""
    from scipy.signal import resample_poly

    full_T = sounds.sound(scene, SOUND_S)
    return np.asarray(resample_poly(full_T, 16_000, sounds.SAMPLE_RATE), np.float32)


def _levels(wave_T: np.ndarray) -> np.ndarray:
    """Return mean, spread, loudest and change of the levels of bands, float64 [4 * bands]."""
    frames_FN = np.lib.stride_tricks.sliding_window_view(wave_T / (np.abs(wave_T).max() + 1e-9), _FFT)
    power_FK = np.abs(np.fft.rfft(frames_FN[:: _FFT // 4] * np.hanning(_FFT), axis=1)) ** 2
    edges = np.unique(np.geomspace(4, power_FK.shape[1] - 1, _BANDS + 1).astype(int))
    level_FB = np.log(np.add.reduceat(power_FK, edges, axis=1) + 1e-6)
    change_FB = np.abs(np.diff(level_FB, axis=0))
    return np.concatenate([level_FB.mean(0), level_FB.std(0), level_FB.max(0), change_FB.mean(0)])
