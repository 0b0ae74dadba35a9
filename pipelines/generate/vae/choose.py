"""The generator `vae`: sounds of a VAE of spectrograms, or pictures of a latent that sounds share."""

from __future__ import annotations

from pathlib import Path

from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.errors import ConfigError
from pipelines.generate.vae.picture_spec import VaePictureSpec
from pipelines.generate.vae.spec import VaeSpec
from pipelines.generate.vae.vocoders import AUTO, choose_vocoder
from pipelines.models.vae_files import read_vae_card
from schemas.joint_vae import JOINT_FILE
from schemas.media import Medium
from schemas.spectrogram_vae import VAE_FILE

POCKET = "pocket"
POCKET_FOLDERS = {"sound": WEIGHTS / "animal_vae", "picture": WEIGHTS / "joint_vae"}
_FILES = {"sound": VAE_FILE, "picture": JOINT_FILE}
_TRAIN = {"sound": "animal_vae", "picture": "joint_vae"}


def choose_vae(  # noqa: PLR0913, PLR0917
    weights: str = POCKET,
    medium: Medium | None = None,
    vocoder: str = AUTO,
    vocoder_mean: float = 0.0,
    vocoder_spread: float = 1.0,
    batch_rows: int = 8,
) -> VaeSpec | VaePictureSpec:
    """Return a VAE.

    Args:
        weights: `POCKET`, or the folder of a VAE that was trained here.
        medium: of the pocket one: sound, or picture; a folder says it by what is in it.
        vocoder: auto, pocket, griffin-lim, or the folder of an AudioLDM or of its HiFiGAN.
        vocoder_mean: of the ln amplitudes that the vocoder of a folder takes.
        vocoder_spread: their standard deviation.
        batch_rows: samples of every forward.

    Raises:
        ConfigError: there is no such VAE, or the vocoder hears another mel.
    """
    wanted = medium or "sound"
    if wanted not in _FILES:
        raise ConfigError(
            f"generator vae makes sounds and pictures, and medium is {wanted}; give one of them"
        )
    folder = POCKET_FOLDERS[wanted] if weights == POCKET else Path(weights)
    found = [each for each, file in _FILES.items() if (folder / file).is_file()]
    if not found:
        advice = (
            f"train it with `echolens pocket {_TRAIN[wanted]}`"
            if weights == POCKET
            else "give pocket or the folder of a VAE, or NAME:TRAINED of one in the root"
        )
        files = _FILES[wanted] if weights == POCKET else " or ".join(_FILES.values())
        raise ConfigError(f"generator vae: there is no {files} in {folder}; {advice}")
    if found[0] == "picture":
        return VaePictureSpec(str(folder), batch_rows)
    front = read_vae_card(folder).front
    return VaeSpec(str(folder), choose_vocoder(vocoder, front, vocoder_mean, vocoder_spread), batch_rows)


GENERATORS = {"vae": choose_vae}
