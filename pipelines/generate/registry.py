"""The generators: a name in a dataset's file or on the command line -> a loader and its description."""

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
    """A generator before its weights are loaded: `info` for the driver, `loader` for the workers."""

    loader: GeneratorLoader
    info: GeneratorInfo

    def open(self) -> Generator:
        """Return the loaded generator, shared by all stages of a process.

        Raises:
            StorageError: the weights on this machine are not those of the driver.
        """
        with _lock:
            if self not in _generators:
                if isinstance(self.loader, AudioLdmLoader):
                    self._check(self.loader)
                    _silence_libraries()
                _generators[self] = self.loader.load()
            return _generators[self]

    def _check(self, loader: AudioLdmLoader) -> None:
        if (here := _hash_parts(_find_folder(loader))) != self.info.weights_sha256:
            raise StorageError(
                f"this machine has other weights of {self.info.name} ({here[:12]}, not "
                f"{self.info.weights_sha256[:12]}); give every machine the same"
            )


_lock = threading.Lock()
_generators: dict[GeneratorSpec, Generator] = {}


def choose_generator(entry: GeneratorEntry, compiled: bool = True) -> GeneratorSpec:
    """Return the generator of an entry, with its weights hashed; those of a hub are downloaded.

    Args:
        entry: of a dataset's file.
        compiled: whether it may be compiled for a GPU, which takes minutes for each length of sound.

    Raises:
        ConfigError: there is no such generator.
    """
    if entry.weights == POCKET:
        loader = replace(make_pocket_audioldm(entry.batch_rows), normalize=False)
    else:
        if "/" not in entry.weights and not Path(entry.weights).is_dir():
            raise ConfigError(
                f"generator {entry.weights!r} is no folder here; give {POCKET}, a folder that diffusers "
                "saved, or OWNER/NAME of a hub"
            )
        loader = AudioLdmLoader(
            entry.weights,
            entry.revision,
            _choose_precision(entry),
            entry.batch_rows,
            compiled,
            normalize=False,
        )
    folder = _find_folder(loader)
    vocoder = json.loads((folder / "vocoder" / "config.json").read_text())
    is_folder = Path(entry.weights).is_dir()
    info = GeneratorInfo(
        name=folder.name if is_folder else entry.weights,
        weights_sha256=_hash_parts(folder),
        precision=loader.precision,
        batch_rows=loader.batch_rows,
        rate_hz=int(vocoder.get("sampling_rate", 16_000)),
        licence=read_licence(folder),
    )
    return GeneratorSpec(loader, info)


def hash_text_tower(generator: GeneratorSpec) -> str | None:
    """Return the fingerprint of a generator's own text tower; None if it is no AudioLDM."""
    if not isinstance(generator.loader, AudioLdmLoader):
        return None
    return compute_fingerprint(
        sorted((_find_folder(generator.loader) / "text_encoder").glob("*.safetensors"))
    )


def _find_folder(loader: AudioLdmLoader) -> Path:
    return find_audioldm_folder(loader.weights, loader.revision, PARTS)


def _silence_libraries() -> None:
    """Turn off the progress bars and warnings of the libraries; exceptions still arrive."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        logging: Any = library.utils.logging
        logging.set_verbosity_error()
        logging.disable_progress_bar()


def _hash_parts(folder: Path) -> str:
    """Return one fingerprint of the weights and configurations of all parts."""
    files = [file for part in PARTS for file in sorted((folder / part).iterdir())]
    return compute_fingerprint([file for file in files if file.suffix in (".safetensors", ".bin", ".json")])


def _choose_precision(entry: GeneratorEntry) -> Precision:
    if entry.precision != "auto":
        return entry.precision
    import torch

    # Rounding errors add up over the diffusion steps: fp32 where no GPU has native bf16.
    bf16 = choose_device().type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16" if bf16 else "fp32"
