"""Which generator: its name in a dataset's file or on the command line -> a loader, and what it is."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.compute.device import choose_device
from pipelines.encode.loaders.audioldm_clap import find_audioldm_folder
from pipelines.encode.loaders.hub import read_licence
from pipelines.encode.loaders.weights import compute_fingerprint
from pipelines.errors import ConfigError, StorageError
from pipelines.generate.audioldm.pipeline import PARTS, AudioLdmLoader
from pipelines.generate.audioldm.pocket import make_pocket_audioldm
from pipelines.generate.generator import Generator, GeneratorLoader
from schemas.dataset import GeneratorEntry
from schemas.generated import GeneratorInfo
from schemas.space import Precision

POCKET = "pocket"


@dataclass(frozen=True)
class GeneratorSpec:
    """A generator before its weights are loaded: the driver needs what it is, a worker the rest."""

    loader: GeneratorLoader
    info: GeneratorInfo

    def open(self) -> Generator:
        """Return the loaded generator; the stages of a process share one.

        Raises:
            StorageError: this machine would load other weights than the driver saw.
        """
        with _opening:
            if self not in _opened:
                if isinstance(self.loader, AudioLdmLoader):
                    self._check(self.loader)
                    _quiet()
                _opened[self] = self.loader.load()
            return _opened[self]

    def _check(self, loader: AudioLdmLoader) -> None:
        if (here := _fingerprint(_folder(loader))) != self.info.weights_sha256:
            raise StorageError(
                f"this machine has other weights of {self.info.name} ({here[:12]}, not "
                f"{self.info.weights_sha256[:12]}); give every machine the same"
            )


_opening = threading.Lock()
_opened: dict[GeneratorSpec, Generator] = {}


def choose_generator(asked: GeneratorEntry, compiled: bool = True) -> GeneratorSpec:
    """Return the generator that is asked for, with its weights hashed; those of a hub are fetched.

    Args:
        asked: by its name.
        compiled: whether it may be compiled for a GPU, which takes minutes for each length of sound.

    Raises:
        ConfigError: it is not there.
    """
    if asked.weights == POCKET:
        loader = replace(make_pocket_audioldm(asked.batch_rows), level=False)
    else:
        if "/" not in asked.weights and not Path(asked.weights).is_dir():
            raise ConfigError(
                f"generator {asked.weights!r} is no folder here; give {POCKET}, a folder that diffusers "
                "saved, or OWNER/NAME of a hub"
            )
        loader = AudioLdmLoader(
            asked.weights, asked.revision, _precision(asked), asked.batch_rows, compiled, level=False
        )
    folder = _folder(loader)
    vocoder = json.loads((folder / "vocoder" / "config.json").read_text())
    is_folder = Path(asked.weights).is_dir()
    info = GeneratorInfo(
        name=folder.name if is_folder else asked.weights,
        weights_sha256=_fingerprint(folder),
        precision=loader.precision,
        batch_rows=loader.batch_rows,
        rate_hz=int(vocoder.get("sampling_rate", 16_000)),
        licence=read_licence(folder),
    )
    return GeneratorSpec(loader, info)


def find_text_tower(chosen: GeneratorSpec) -> str | None:
    """Return the fingerprint of a generator's own text tower, None if it is no AudioLDM."""
    if not isinstance(chosen.loader, AudioLdmLoader):
        return None
    return compute_fingerprint(sorted((_folder(chosen.loader) / "text_encoder").glob("*.safetensors")))


def _folder(loader: AudioLdmLoader) -> Path:
    return find_audioldm_folder(loader.weights, loader.revision, PARTS)


def _quiet() -> None:
    """Keep bars and advice of the libraries off the terminal; what they raise reaches us anyhow."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        logging: Any = library.utils.logging
        logging.set_verbosity_error()
        logging.disable_progress_bar()


def _fingerprint(folder: Path) -> str:
    """Return one for all parts: weights and configurations, which decide as much."""
    files = [file for part in PARTS for file in sorted((folder / part).iterdir())]
    return compute_fingerprint([file for file in files if file.suffix in (".safetensors", ".bin", ".json")])


def _precision(asked: GeneratorEntry) -> Precision:
    if asked.precision != "auto":
        return asked.precision
    import torch

    # Diffusion adds up its roundings over all steps: without a GPU that is made for halves, whole floats.
    bf16 = choose_device().type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16" if bf16 else "fp32"
