"""AudioLDM's own CLAP: its text tower from a diffusers folder, its audio tower from elsewhere.

A generator takes vectors of the space that it was trained on alone, and every AudioLDM was trained with a
CLAP of its own. diffusers keeps the text tower of it; the audio tower is only in the original checkpoint
(or, for the pocket model, in the folder of pocket CLAP).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipelines.compute.device import get_dtype
from pipelines.encode.encoder import Tower, Towers
from pipelines.encode.loaders import laion_clap
from pipelines.encode.loaders.hub import download_repository, report_licence
from pipelines.encode.loaders.laion_clap import LaionClap
from pipelines.encode.loaders.pretrained import PretrainedModel
from pipelines.encode.loaders.tokenizer import TextTokenizer, TextTower
from pipelines.encode.loaders.transformers_clap import MAX_TOKENS, TransformersClap
from pipelines.encode.loaders.weights import (
    as_config_errors,
    compute_fingerprint,
    load_tensors,
    make_missing_error,
)
from pipelines.encode.pairing import compare_probes
from pipelines.errors import ConfigError
from schemas.families import Modality
from schemas.space import Precision, Space

if TYPE_CHECKING:
    import torch

# The largest difference between weights in fp16 and the same ones in fp32.
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

    modalities: ClassVar[tuple[Modality, ...]] = ("text", "audio")

    def space(self) -> Space:
        """Return the space: finds (or fetches) and hashes the weights of both towers.

        Raises:
            ConfigError: one of them is not there, or they are of two CLAPs.
        """
        folder = find_audioldm_folder(self.weights, self.revision, ("text_encoder", "tokenizer"))
        text, audio = _get_text_model(folder), self._make_audio_loader(folder)
        self._check_one_clap(folder, text)
        audio_space = audio.space()
        return Space(
            encoder=f"audioldm:{folder.name if Path(self.weights).is_dir() else self.weights}",
            weights_sha256=compute_fingerprint([*text.weights, *self._find_audio_files()]),
            library=audio_space.library,
            preprocessing=audio_space.preprocessing,
            precision=self.precision,
            batch_rows=self.batch_rows,
            dims=int(text.read_config("clap_text_model").projection_dim),
        )

    def load(self) -> Towers:
        """Load the weights, onto the GPU if there is one.

        Raises:
            ConfigError: the weights do not fill a tower, or the towers are of two CLAPs.
        """
        folder = find_audioldm_folder(self.weights, self.revision, ("text_encoder", "tokenizer"))
        self._check_one_clap(folder, _get_text_model(folder))
        audio = self._make_audio_loader(folder).load()["audio"]
        towers: Towers = {"audio": audio, "text": load_text_tower(folder, get_dtype(self.precision))}
        self._check_audio_tower(towers)
        return towers

    def hash_text_tower(self) -> str | None:
        """Return the fingerprint of the text tower; None where its precision is not that of its file."""
        if self.precision != "fp32":
            return None
        folder = find_audioldm_folder(self.weights, self.revision, ("text_encoder", "tokenizer"))
        files = sorted((folder / "text_encoder").glob("*.safetensors"))
        return compute_fingerprint(files) if files else None

    def _make_audio_loader(self, folder: Path) -> LaionClap | TransformersClap:
        if Path(self.audio).is_dir():
            return TransformersClap(self.audio, None, self.precision, self.batch_rows)
        if not Path(self.audio).is_file():
            raise make_missing_error(
                "encode.clap", f"there is neither a checkpoint nor a folder {self.audio} for the audio tower"
            )
        return LaionClap(self.audio, None, str(folder / "tokenizer"), self.precision, self.batch_rows)

    def _find_audio_files(self) -> list[Path]:
        if Path(self.audio).is_file():
            return [Path(self.audio)]
        return PretrainedModel.find("encode.clap", self.audio, None).weights

    def _check_one_clap(self, folder: Path, text: PretrainedModel) -> None:
        """Refuse an audio tower of another CLAP: its vectors would be noise to the generator."""
        import torch

        own = _find_tensor(text.weights, _PROJECTION)
        if Path(self.audio).is_file():
            other = laion_clap.read_tensors(Path(self.audio))[_LAIONS_PROJECTION]
        else:
            other = _find_tensor(self._find_audio_files(), _PROJECTION)
        same = own.shape == other.shape and torch.allclose(own.float(), other.float(), atol=_ROUNDING)
        if not same:
            raise ConfigError(
                f"encode.clap.audio: {self.audio} holds another CLAP than {folder} (their text projections "
                "differ); name the original checkpoint that the folder was converted from"
            )

    def _check_audio_tower(self, towers: Towers) -> None:
        """Refuse an audio tower whose sounds do not go with their words, though its text projection fits.

        In an original checkpoint both towers are those that were trained together.
        """
        if Path(self.audio).is_file():
            return
        found = compare_probes(towers, "audio", self.batch_rows)
        if not found.is_clear:
            raise ConfigError(
                f"encode.clap.audio: the sounds of {self.audio} do not go with the words of {self.weights} "
                f"(mean cosine {found}); name the original checkpoint that the folder was converted from"
            )


LOADERS = {"audioldm": AudioLdmClap}


def load_text_tower(folder: Path, dtype: torch.dtype) -> Tower:
    """Return the text tower of a folder that diffusers saved.

    Raises:
        ConfigError: it has none, or its tokenizer is of another net.
    """
    import transformers

    text = _get_text_model(folder)
    config = text.read_config("clap_text_model")
    with as_config_errors("encode.clap", f"the tokenizer in {folder / 'tokenizer'}"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder / "tokenizer", local_files_only=True, trust_remote_code=False
        )
    # RoBERTa counts its positions from pad_token_id + 1.
    positions = config.max_position_embeddings - config.pad_token_id - 1
    length = int(min(MAX_TOKENS, tokenizer.model_max_length, positions))
    checked = TextTokenizer("encode.clap", tokenizer, length, config.vocab_size, str(folder / "tokenizer"))
    model = text.load_net(transformers.ClapTextModelWithProjection, dtype)

    def net(inputs: Mapping[str, Any]) -> torch.Tensor:
        raw_BD: torch.Tensor = model(**inputs).text_embeds
        return raw_BD

    return TextTower(checked, net)


def find_audioldm_folder(weights: str, revision: str | None, parts: tuple[str, ...]) -> Path:
    """Return the folder of an AudioLDM; one that is fetched is logged with its licence.

    Args:
        weights: a folder, or a repository of the Hugging Face hub.
        revision: a commit of the repository; its newest if None.
        parts: the folders of the pipeline that are needed.

    Raises:
        ConfigError: there is none, or parts of it are missing.
    """
    folder = Path(weights).resolve() if Path(weights).is_dir() else _download(weights, revision, parts)
    lacking = [part for part in ("model_index.json", *parts) if not (folder / part).exists()]
    if lacking:
        raise make_missing_error(
            "encode.clap", f"{folder} is no AudioLDM that diffusers saved: it has no {lacking[0]}"
        )
    return folder


def _download(repository: str, revision: str | None, parts: tuple[str, ...]) -> Path:
    folder = download_repository(
        "encode.clap",
        repository,
        revision,
        files=(
            "model_index.json",
            "README.md",
            *(f"{part}/{file}" for part in parts for file in ("*.json", "*.txt", "*model.safetensors")),
        ),
        safetensors="text_encoder/*.safetensors",
        pickled=tuple(f"{part}/*model.bin" for part in parts),
    )
    report_licence(repository, folder)
    return folder


def _get_text_model(folder: Path) -> PretrainedModel:
    return PretrainedModel("clap", folder / "text_encoder", folder.name)


def _find_tensor(files: list[Path], name: str) -> torch.Tensor:
    """Return one tensor out of the files of a model's weights."""
    for file in files:
        tensors = load_tensors("encode.clap", file)
        if name in tensors:
            tensor: torch.Tensor = tensors[name]
            return tensor
    raise make_missing_error("encode.clap", f"{files[0].parent} holds no {name}")
