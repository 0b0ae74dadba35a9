"""The generator `audioldm`: finds an AudioLDM's weights, describes it, and loads it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pipelines.compute.device import choose_device, get_dtype
from pipelines.encode.loaders.audioldm_clap import find_audioldm_folder, load_text_tower
from pipelines.encode.loaders.hub import read_licence
from pipelines.encode.loaders.pocket import WEIGHTS
from pipelines.encode.loaders.weights import compute_fingerprint
from pipelines.errors import ConfigError
from pipelines.generate.audioldm.params import AudioLdmParams
from pipelines.generate.audioldm.pipeline import PARTS, READS, AudioLdmGenerator, load_modules
from schemas.generated import GeneratorInfo
from schemas.space import Precision

POCKET = "pocket"


@dataclass(frozen=True)
class AudioLdmSpec:
    """An AudioLDM that diffusers saved.

    Attributes:
        weights: its folder, or a repository of the Hugging Face hub.
        revision: a commit of the repository; its newest if None.
        precision: of weights and activations; the text tower is always in fp32.
        batch_rows: of every forward. A smaller batch is padded, because the last digits of a sound depend on
            the size of its batch.
        compiled: whether the UNet is compiled for a GPU; worth it from some hundred sounds on.
    """

    weights: str
    revision: str | None = None
    precision: Precision = "fp32"
    batch_rows: int = 8
    compiled: bool = False

    params: ClassVar[type[AudioLdmParams]] = AudioLdmParams

    def open(self) -> AudioLdmGenerator:
        """Load the weights, onto the GPU if there is one.

        Raises:
            ConfigError: a part is missing, or lacks weights.
        """
        import torch

        folder = self._find_folder()
        _silence_libraries()
        nets = load_modules(folder, get_dtype(self.precision))
        if self.compiled and choose_device().type == "cuda":
            nets.unet.compile(dynamic=False)
        return AudioLdmGenerator(nets, load_text_tower(folder, torch.float32), self.batch_rows)

    def fingerprint(self) -> str:
        """Return one fingerprint of the weights and configurations of all parts."""
        folder = self._find_folder()
        files = [file for part in PARTS for file in sorted((folder / part).iterdir())]
        return compute_fingerprint(
            [file for file in files if file.suffix in (".safetensors", ".bin", ".json")]
        )

    def describe(self) -> GeneratorInfo:
        """Return its name, that of its folder or repository, its fingerprints, rate and licence."""
        folder = self._find_folder()
        vocoder = json.loads((folder / "vocoder" / "config.json").read_text(encoding="utf-8"))
        texts = sorted((folder / "text_encoder").glob("*.safetensors"))
        name = folder.name if Path(self.weights).is_dir() else self.weights
        return GeneratorInfo(
            name=name,
            weights_sha256=self.fingerprint(),
            medium="sound",
            reads=READS,
            precision=self.precision,
            batch_rows=self.batch_rows,
            rate_hz=int(vocoder.get("sampling_rate", 16_000)),
            licence=read_licence(folder),
            text_sha256=compute_fingerprint(texts),
            advice=(
                f"build a set with encode.clap={{loader: audioldm, weights: {name}, audio: ITS ORIGINAL "
                "CHECKPOINT}"
            ),
        )

    def _find_folder(self) -> Path:
        folder = Path(self.weights)
        lacking = [part for part in ("model_index.json", *PARTS) if not (folder / part).exists()]
        if folder.is_dir() and lacking:
            raise ConfigError(
                f"generator audioldm: {folder} is no AudioLDM that diffusers saved (no {lacking[0]} in it); "
                "name a folder or a trained model that is one"
            )
        return find_audioldm_folder(self.weights, self.revision, PARTS)


def choose_audioldm(
    weights: str = POCKET,
    revision: str | None = None,
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    batch_rows: int = 8,
    compiled: bool = True,
) -> AudioLdmSpec:
    """Return an AudioLDM; like the other pocket models, the pocket one runs in fp32.

    Args:
        weights: `POCKET`, a folder, or a repository of the hub.
        revision: a commit of the repository.
        precision: of weights and activations; `auto` takes bf16 on a GPU that has it.
        batch_rows: of every forward.
        compiled: whether it may be compiled for a GPU, which takes minutes for each length of sound.

    Raises:
        ConfigError: there is no such AudioLDM.
    """
    if weights == POCKET:
        folder = WEIGHTS / "audioldm"
        if not (folder / "model_index.json").is_file():
            raise ConfigError(
                f"there is no model_index.json in {folder}; train it with `echolens pocket audioldm`"
            )
        return AudioLdmSpec(str(folder), batch_rows=batch_rows)
    if "/" not in weights and not Path(weights).is_dir():
        raise ConfigError(
            f"generator {weights!r} is no folder here; give {POCKET}, a folder that diffusers saved, "
            "OWNER/NAME of a hub, or the name of another generator"
        )
    decided = _choose_precision() if precision == "auto" else precision
    return AudioLdmSpec(weights, revision, decided, batch_rows, compiled)


GENERATORS = {"audioldm": choose_audioldm}


def _choose_precision() -> Precision:
    import torch

    # Rounding errors add up over the diffusion steps: fp32 where no GPU has native bf16.
    bf16 = choose_device().type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16" if bf16 else "fp32"


def _silence_libraries() -> None:
    """Turn off the progress bars and warnings of the libraries; exceptions still arrive."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        logging: Any = library.utils.logging
        logging.set_verbosity_error()
        logging.disable_progress_bar()
