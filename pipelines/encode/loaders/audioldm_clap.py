"""AudioLDM's own CLAP -> its text tower out of a diffusers folder, its audio tower from elsewhere.

A vector that shall become a sound must lie in the space that the generator was trained on, and every
AudioLDM carries its own CLAP. diffusers kept the text tower of it; the audio tower is in the original
checkpoint alone (or, for the pocket model, in the folder of pocket CLAP).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.compute.device import get_dtype
from pipelines.encode.encoder import Tower, Towers
from pipelines.encode.loaders import laion_clap
from pipelines.encode.loaders.laion_clap import LaionClap
from pipelines.encode.loaders.licences import report_licence
from pipelines.encode.loaders.pretrained import PretrainedModel, check_commit
from pipelines.encode.loaders.tokenizer import TextTokenizer, TextTower
from pipelines.encode.loaders.transformers_clap import MAX_TOKENS, TransformersClap
from pipelines.encode.loaders.weights import (
    as_config_errors,
    compute_fingerprint,
    get_first_line,
    make_missing_error,
)
from pipelines.errors import ConfigError
from schemas.space import Precision, Space

if TYPE_CHECKING:
    import torch

# Halves of the same weights differ by this much from their floats, at most.
_ROUNDING = 2e-3
_PROJECTION = "text_projection.linear1.weight"
_LAIONS_PROJECTION = "text_projection.0.weight"


@dataclass(frozen=True)
class AudioLdmClap:
    """The CLAP that an AudioLDM was trained with.

    Attributes:
        weights: a folder that diffusers saved, or a repository of the Hugging Face hub.
        revision: a commit of the repository; its newest if None.
        audio: where the audio tower is: an original checkpoint of AudioLDM, or the folder of a ClapModel.
        precision: of weights and activations.
        batch_rows: of every forward.
    """

    weights: str
    revision: str | None
    audio: str
    precision: Precision
    batch_rows: int

    def space(self) -> Space:
        """Return the space: finds (or fetches) and hashes the weights of both towers.

        Raises:
            ConfigError: one of them is not there, or they are of two CLAPs.
        """
        folder = find_audioldm_folder(self.weights, self.revision, ("text_encoder", "tokenizer"))
        text, sounds = _text(folder), self._sounds(folder)
        self._check_one_clap(folder, text)
        of = sounds.space()
        return Space(
            encoder=f"audioldm:{folder.name if Path(self.weights).is_dir() else self.weights}",
            weights_sha256=compute_fingerprint([*text.weights, *self._audio_files()]),
            library=of.library,
            preprocessing=of.preprocessing,
            precision=self.precision,
            batch_rows=self.batch_rows,
            dims=int(text.config("clap_text_model").projection_dim),
        )

    def load(self) -> Towers:
        """Load the weights, onto the GPU if there is one.

        Raises:
            ConfigError: the weights do not fill a tower, or the towers are of two CLAPs.
        """
        folder = find_audioldm_folder(self.weights, self.revision, ("text_encoder", "tokenizer"))
        self._check_one_clap(folder, _text(folder))
        audio = self._sounds(folder).load()["audio"]
        return {"audio": audio, "text": load_text_tower(folder, get_dtype(self.precision))}

    def _sounds(self, folder: Path) -> LaionClap | TransformersClap:
        if Path(self.audio).is_dir():
            return TransformersClap(self.audio, None, self.precision, self.batch_rows)
        if not Path(self.audio).is_file():
            raise make_missing_error(
                "clap", f"there is neither a checkpoint nor a folder {self.audio} for the audio tower"
            )
        return LaionClap(self.audio, None, str(folder / "tokenizer"), self.precision, self.batch_rows)

    def _audio_files(self) -> list[Path]:
        if Path(self.audio).is_file():
            return [Path(self.audio)]
        return PretrainedModel.find("clap", self.audio, None).weights

    def _check_one_clap(self, folder: Path, text: PretrainedModel) -> None:
        """Refuse an audio tower of another CLAP: its vectors would be noise to the generator."""
        import torch

        own = _tensor(text.weights, _PROJECTION)
        if Path(self.audio).is_file():
            other = laion_clap.read_tensors(Path(self.audio))[_LAIONS_PROJECTION]
        else:
            other = _tensor(self._audio_files(), _PROJECTION)
        same = own.shape == other.shape and torch.allclose(own.float(), other.float(), atol=_ROUNDING)
        if not same:
            raise ConfigError(
                f"encode.clap.audio: {self.audio} holds another CLAP than {folder} (their text projections "
                "differ); name the original checkpoint that the folder was converted from"
            )


def load_text_tower(folder: Path, dtype: torch.dtype) -> Tower:
    """Return the text tower of a folder that diffusers saved.

    Raises:
        ConfigError: it has none, or its tokenizer is of another net.
    """
    import transformers

    text = _text(folder)
    config = text.config("clap_text_model")
    with as_config_errors("clap", f"the tokenizer in {folder / 'tokenizer'}"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    # RoBERTa counts its positions from pad_token_id + 1.
    positions = config.max_position_embeddings - config.pad_token_id - 1
    length = int(min(MAX_TOKENS, tokenizer.model_max_length, positions))
    tokens = TextTokenizer("clap", tokenizer, length, config.vocab_size, str(folder / "tokenizer"))
    model = text.filled(transformers.ClapTextModelWithProjection, dtype)

    def net(given: Mapping[str, Any]) -> torch.Tensor:
        raw_BD: torch.Tensor = model(**given).text_embeds
        return raw_BD

    return TextTower(tokens, net)


def find_audioldm_folder(weights: str, revision: str | None, parts: tuple[str, ...]) -> Path:
    """Return the folder of an AudioLDM, fetched if it must be; its licence is said then.

    Args:
        weights: a folder, or a repository of the Hugging Face hub.
        revision: a commit of the repository; its newest if None.
        parts: of the pipeline that are needed.

    Raises:
        ConfigError: there is none, or parts of it are missing.
    """
    folder = Path(weights).resolve() if Path(weights).is_dir() else _fetched(weights, revision, parts)
    lacking = [part for part in ("model_index.json", *parts) if not (folder / part).exists()]
    if lacking:
        raise make_missing_error(
            "clap", f"{folder} is no AudioLDM that diffusers saved: it has no {lacking[0]}"
        )
    return folder


def _fetched(repository: str, revision: str | None, parts: tuple[str, ...]) -> Path:
    if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", repository):
        raise make_missing_error("clap", f"there is no folder {repository}")
    check_commit("clap", repository, revision)
    from huggingface_hub import snapshot_download

    wanted = ["model_index.json", "README.md"]
    wanted += [f"{part}/{file}" for part in parts for file in ("*.json", "*.txt", "*model.safetensors")]
    try:
        folder = Path(snapshot_download(repository, revision=revision, allow_patterns=wanted))
        if not list(folder.glob("text_encoder/*.safetensors")):
            older = [f"{part}/*model.bin" for part in parts]
            snapshot_download(repository, revision=revision, allow_patterns=older)
    except (OSError, ValueError) as error:
        raise make_missing_error(
            "clap", f"{repository} is no folder here and could not be fetched ({get_first_line(error)})"
        ) from error
    report_licence(repository, folder)
    return folder


def _text(folder: Path) -> PretrainedModel:
    return PretrainedModel("clap", folder / "text_encoder", folder.name)


def _tensor(files: list[Path], name: str) -> torch.Tensor:
    """Return one tensor out of the files of a model's weights."""
    import torch
    from safetensors.torch import load_file

    for file in files:
        with as_config_errors("clap", file.name):
            held = (
                load_file(file)
                if file.suffix == ".safetensors"
                else torch.load(file, map_location="cpu", weights_only=True, mmap=True)
            )
        if name in held:
            tensor: torch.Tensor = held[name]
            return tensor
    raise make_missing_error("clap", f"{files[0].parent} holds no {name}")
