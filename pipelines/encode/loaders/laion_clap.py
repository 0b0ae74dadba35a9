"""Audio and text towers of LAION's own CLAP checkpoints: HTSAT and RoBERTa, without fusion."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pipelines.compute.device import choose_device, get_dtype, move_to_device
from pipelines.encode.encoder import Towers
from pipelines.encode.loaders.hub import download_file
from pipelines.encode.loaders.tokenizer import TextTokenizer, TextTower
from pipelines.encode.loaders.transformers_clap import MAX_TOKENS
from pipelines.encode.loaders.waveform import (
    FULL_SCALE,
    find_window_starts,
    locate_windows,
    quantize,
    repeat_to_length,
)
from pipelines.encode.loaders.weights import (
    as_config_errors,
    compute_fingerprint,
    get_first_line,
    load_tensors,
)
from pipelines.errors import ConfigError
from schemas.families import Modality
from schemas.space import Precision, Space

if TYPE_CHECKING:
    import torch

# Channels of the first layer -> the name of laion_clap's audio net.
_AUDIO_NETS = {96: "HTSAT-tiny", 128: "HTSAT-base", 256: "HTSAT-large"}

_PATCHES = "audio_branch.patch_embed.proj.weight"
_WORDS = "text_branch.embeddings.word_embeddings.weight"
_POSITIONS = "text_branch.embeddings.position_embeddings.weight"

# The prefix of CLAP's tensors in an original checkpoint of AudioLDM.
_AUDIOLDM_PREFIX = "cond_stage_model.model."


@dataclass(frozen=True)
class LaionClap:
    """A checkpoint of LAION's CLAP.

    Attributes:
        weights: a .pt file, or OWNER/NAME/FILE.pt on the Hugging Face hub.
        revision: a commit of that repository; its newest if None.
        tokenizer: a repository of the hub or a folder; the checkpoints hold none.
        precision: of weights and activations; spectrograms are made in fp32.
        batch_rows: of every forward.
    """

    weights: str
    revision: str | None
    tokenizer: str
    precision: Precision
    batch_rows: int

    modalities: ClassVar[tuple[Modality, ...]] = ("text", "audio")

    def space(self) -> Space:
        """Return the space: finds (or fetches) and hashes the weights, and reads their shapes.

        Raises:
            ConfigError: no such checkpoint, or one with fusion, or no tokenizer.
        """
        file = _find_file(self.weights, self.revision)
        tensors = read_tensors(file)
        config = _read_config(file, tensors)
        audio, tokenizer = config["audio_cfg"], self._load_tokenizer(tensors)
        return Space(
            encoder=f"laion_clap:{_make_name(self.weights, file)}",
            weights_sha256=compute_fingerprint([file]),
            library=f"laion_clap {version('laion-clap')}",
            preprocessing=(
                f"audio: mono {audio['sample_rate']} Hz, int16, windows of {audio['clip_samples']} samples "
                f"(repeatpad), {audio['mel_bins']} mels {audio['fmin']}-{audio['fmax']} Hz, "
                f"fft {audio['window_size']}, hop {audio['hop_size']}; "
                f"text: {tokenizer.length} tokens of {_compute_digest(tokenizer)}"
            ),
            precision=self.precision,
            batch_rows=self.batch_rows,
            dims=len(tensors["text_projection.2.weight"]),
        )

    def load(self) -> Towers:
        """Load the weights, onto the GPU if there is one.

        Raises:
            ConfigError: the weights do not fill the model.
        """
        file = _find_file(self.weights, self.revision)
        tensors = read_tensors(file)
        config = _read_config(file, tensors)
        dtype = get_dtype(self.precision)
        with as_config_errors("encode.clap", file.name):
            model = _make_net(config, tensors)
            model.load_state_dict(tensors)
        model.eval().to(choose_device(), dtype)
        # A spectrogram in bf16 is another one: everything before the first layer stays in fp32.
        branch = model.audio_branch
        for front in (branch.spectrogram_extractor, branch.logmel_extractor, branch.bn0):
            front.float()
        branch.bn0.register_forward_hook(lambda _net, _inputs, output: output.to(dtype))
        audio = config["audio_cfg"]
        return {
            "audio": _AudioTower(model, audio["sample_rate"], audio["clip_samples"]),
            # What get_text_embedding does before it normalises.
            "text": TextTower(
                self._load_tokenizer(tensors),
                lambda inputs: model.encode_text(inputs, device=choose_device()),
            ),
        }

    def _load_tokenizer(self, tensors: Mapping[str, Any]) -> TextTokenizer:
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(self.tokenizer, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"encode.clap.tokenizer: {self.tokenizer} is no folder here and could not be fetched "
                f"({get_first_line(error)}); LAION's checkpoints hold no tokenizer, so put roberta-base's "
                "tokenizer.json into a folder and name that"
            ) from error
        # RoBERTa counts its positions from 2.
        length = min(MAX_TOKENS, len(tensors[_POSITIONS]) - 2)
        return TextTokenizer("encode.clap", tokenizer, length, len(tensors[_WORDS]), self.tokenizer)


LOADERS = {"laion_clap": LaionClap}


def _make_name(weights: str, file: Path) -> str:
    if Path(weights).is_file():
        return file.name
    return f"{weights}@{file.parent.name}"


def _find_file(weights: str, revision: str | None) -> Path:
    """Return the checkpoint, fetched if it is no file here."""
    return (
        Path(weights).resolve()
        if Path(weights).is_file()
        else download_file("encode.clap", weights, revision)
    )


def read_tensors(file: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of CLAP in a checkpoint of LAION's or AudioLDM's, by laion_clap's names.

    Raises:
        ConfigError: it cannot be read, or holds no HTSAT and RoBERTa.
    """
    import torch

    # LAION's checkpoints hold their scores as numpy scalars beside the weights.
    scalar = np.float64(0).__reduce__()[0]
    numpy_types: list[Any] = [np.dtype, scalar, *{type(np.dtype(name)) for name in "efdilqbBhHIL?"}]
    content = load_tensors("encode.clap", file, numpy_types)
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    prefix = _AUDIOLDM_PREFIX if any(str(name).startswith(_AUDIOLDM_PREFIX) for name in state) else ""
    tensors = {
        name.removeprefix(prefix).removeprefix("module."): tensor
        for name, tensor in state.items()
        if torch.is_tensor(tensor)
        and name.startswith(prefix)
        # Older transformers kept it; it is 0, 1, 2, ...
        and not name.endswith("text_branch.embeddings.position_ids")
    }
    if not {_PATCHES, _WORDS, _POSITIONS} <= tensors.keys():
        raise ConfigError(
            f"encode.clap: {file.name} holds no HTSAT and RoBERTa; name one of LAION's checkpoints, "
            "as 630k-audioset-best.pt"
        )
    return tensors


def _read_config(file: Path, tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Return laion_clap's own configuration for a checkpoint."""
    if any(".fusion_model." in name or ".mel_conv" in name for name in tensors):
        raise ConfigError(
            f"encode.clap: {file.name} was trained with fusion, which picks its crops at random; "
            "take LAION's checkpoint without, as 630k-audioset-best.pt"
        )
    net = _AUDIO_NETS.get(len(tensors[_PATCHES]))
    if net is None:
        raise ConfigError(
            f"encode.clap: the audio net of {file.name} has {len(tensors[_PATCHES])} channels, which is none "
            f"of {', '.join(_AUDIO_NETS.values())}; name one of LAION's checkpoints"
        )
    config: dict[str, Any] = json.loads(
        (_find_package() / f"model_configs/{net}.json").read_text(encoding="utf-8")
    )
    config["text_cfg"]["model_type"] = "roberta"
    return config


def _find_package() -> Path:
    spec = importlib.util.find_spec("laion_clap")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("encode.clap.loader: laion_clap is not installed; run `make setup`")
    return Path(spec.submodule_search_locations[0]) / "clap_module"


def import_nets() -> ModuleType:
    """Return laion_clap's module of nets; its `__init__` would parse this program's command line."""
    name = "clap_module"
    if name not in sys.modules:
        folder = _find_package()
        spec = importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # timm warns of names that it moved
                spec.loader.exec_module(sys.modules[name])
        except BaseException:
            del sys.modules[name]
            raise
    return importlib.import_module(f"{name}.model")


def _make_net(config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Any:
    """Return the net, its weights not yet loaded."""
    from transformers import RobertaConfig, RobertaModel

    # The configuration of roberta-base, in the sizes of the checkpoint, which holds all of its weights.
    layers = {name.split(".")[3] for name in tensors if name.startswith("text_branch.encoder.layer.")}
    text = RobertaConfig(
        vocab_size=len(tensors[_WORDS]),
        max_position_embeddings=len(tensors[_POSITIONS]),
        num_hidden_layers=len(layers),
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )
    nets = import_nets()
    with _give_text_net(nets, RobertaModel(text)):
        return nets.CLAP(**config)


@contextmanager
def _give_text_net(nets: ModuleType, text: Any) -> Iterator[None]:
    """Give laion_clap a text net where it would download roberta-base, only to overwrite its weights."""

    class Given:
        @staticmethod
        def from_pretrained(_name: str) -> Any:
            return text

    original = nets.RobertaModel
    nets.RobertaModel = Given  # type: ignore[attr-defined]
    try:
        yield
    finally:
        nets.RobertaModel = original  # type: ignore[attr-defined]


def _compute_digest(tokenizer: TextTokenizer) -> str:
    """Return the name of a tokenizer by its content, whatever folder it is in."""
    return hashlib.sha256(tokenizer.serialized.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class _AudioTower:
    """Bytes of a sound file -> its windows, int16 [T]."""

    model: Any
    rate_hz: int
    window: int

    def prepare(self, item: bytes) -> np.ndarray:
        """Decode, mix to mono, resample, quantise as CLAP was trained, and cut into whole windows."""
        samples_T = quantize(item, self.rate_hz)
        starts = find_window_starts(len(samples_T), self.window)
        return np.stack(
            [repeat_to_length(samples_T[start : start + self.window], self.window) for start in starts]
        )

    def locate_windows(self, item: bytes) -> np.ndarray:
        """Return where the windows start, in seconds."""
        return locate_windows(item, self.rate_hz, self.window)

    def forward(self, pieces_B: np.ndarray) -> np.ndarray:
        """Windows, int16 [B, T], to raw vectors; get_audio_embedding normalises."""
        import torch

        with torch.inference_mode():
            batch = move_to_device(pieces_B).float() / FULL_SCALE
            embedded = self.model.encode_audio({"waveform": batch}, device=choose_device())["embedding"]
            raw_BD: np.ndarray = self.model.audio_projection(embedded).float().cpu().numpy()
        return raw_BD
