"""Standardised spectrograms -> waves: by the HiFiGAN that hears the same mel, else by Griffin-Lim."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.compute.device import choose_device
from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.encode.loaders.weights import as_config_errors, compute_fingerprint
from pipelines.errors import ConfigError
from pipelines.models.spectrogram_front import restore_amplitudes, restore_log_mels
from schemas.spectrogram_vae import SpectrogramFront

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

AUTO, POCKET, GRIFFIN_LIM = "auto", "pocket", "griffin-lim"
_FOLDER = "vocoder"
# Of pocket AudioLDM's mel: what its vocoder hears, and how that is standardised.
_POCKET_FRONT = SpectrogramFront()


@dataclass(frozen=True)
class VocoderSpec:
    """What makes waves of spectrograms.

    Attributes:
        name: `GRIFFIN_LIM`, `POCKET`, or the folder of an AudioLDM or of its vocoder.
        mean: of the ln amplitudes that a vocoder of a folder takes; AudioLDM's takes them as they are.
        spread: their standard deviation.
    """

    name: str
    mean: float = 0.0
    spread: float = 1.0

    def fingerprint(self) -> str:
        """Return the sha256 of its weights; its name where it has none."""
        if self.name == GRIFFIN_LIM:
            return self.name
        folder = find_vocoder_folder(self.name)
        return compute_fingerprint(sorted([*folder.glob("*.safetensors"), folder / "config.json"]))

    def open(self, front: SpectrogramFront) -> Callable[[Tensor], Tensor]:
        """Return the function of standardised spectrograms `[N, 1, H, W]` to waves `[N, T]`.

        Raises:
            ConfigError: the vocoder hears another mel than the VAE makes.
        """
        if self.name == GRIFFIN_LIM:
            return _make_griffin_lim(front)
        folder = find_vocoder_folder(self.name)
        check_vocoder(folder, front)
        mean, spread = self.mean, self.spread
        if self.name == POCKET:
            mean, spread = _POCKET_FRONT.mean, _POCKET_FRONT.spread
        net = _load_hifigan(folder)

        def vocode(spectrograms: Tensor) -> Tensor:
            mels = (restore_log_mels(spectrograms, front) - mean) / spread
            waves: Tensor = net(mels)
            return waves.reshape(len(mels), -1)

        return vocode


def choose_vocoder(name: str, front: SpectrogramFront, mean: float, spread: float) -> VocoderSpec:
    """Return a vocoder; `AUTO` is pocket AudioLDM's where it hears the VAE's mel, else Griffin-Lim.

    Raises:
        ConfigError: there is no such vocoder, or it hears another mel.
    """
    if name == AUTO:
        same = front.model_copy(update={"mean": _POCKET_FRONT.mean, "spread": _POCKET_FRONT.spread})
        name = POCKET if same == _POCKET_FRONT else GRIFFIN_LIM
    if name != GRIFFIN_LIM:
        check_vocoder(find_vocoder_folder(name), front)
    return VocoderSpec(name, mean, spread)


def find_vocoder_folder(name: str) -> Path:
    """Return the folder of a HiFiGAN.

    Raises:
        ConfigError: there is none.
    """
    folder = WEIGHTS / "audioldm" / _FOLDER if name == POCKET else Path(name)
    folder = folder / _FOLDER if (folder / _FOLDER / "config.json").is_file() else folder
    if not (folder / "config.json").is_file():
        raise ConfigError(
            f"generator vae: there is no vocoder in {folder}; name {POCKET}, {GRIFFIN_LIM}, or the folder of "
            "an AudioLDM that diffusers saved"
        )
    return folder


def check_vocoder(folder: Path, front: SpectrogramFront) -> None:
    """Refuse a vocoder that hears another mel than a VAE makes.

    Raises:
        ConfigError: it does, or its configuration is damaged.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        hop = 1
        for rate in config["upsample_rates"]:
            hop *= int(rate)
        heard = (int(config["sampling_rate"]), hop, int(config["model_in_dim"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"generator vae: {folder}/config.json is no HiFiGAN's ({type(error).__name__}); name another "
            "folder"
        ) from error
    made = (front.rate_hz, front.hop, front.bands)
    if front.kind != "log_mel" or heard != made:
        raise ConfigError(
            f"generator vae: the vocoder in {folder} hears {heard[2]} mel bands at {heard[0]} Hz, {heard[1]} "
            f"samples a frame, and the VAE makes {made[2]} {front.kind} bands at {made[0]} Hz, {made[1]} "
            f"samples a frame; name the vocoder of its mel, or vocoder: {GRIFFIN_LIM}"
        )


def _load_hifigan(folder: Path) -> Any:
    import transformers

    logging: Any = transformers.utils.logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    hifigan: Any = transformers.SpeechT5HifiGan
    with as_config_errors("generator vae", str(folder)):
        loaded, report = hifigan.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, output_loading_info=True
        )
    if missing := sorted(report["missing_keys"]):
        raise ConfigError(
            f"generator vae: the vocoder in {folder} lacks {len(missing)} tensors (first {missing[0]}); "
            "check that weights and config.json belong together"
        )
    return loaded.float().eval().requires_grad_(False).to(choose_device())


def _make_griffin_lim(front: SpectrogramFront) -> Callable[[Tensor], Tensor]:
    from pipelines.generate.vae.griffin_lim import invert_amplitudes

    def invert(spectrograms: Tensor) -> Tensor:
        return invert_amplitudes(restore_amplitudes(spectrograms.cpu().float(), front), front)

    return invert
