"""The encoders of a dataset, and a translator or tower, as one encoder of the benchmark `mteb`.

    import mteb
    from pipelines.evaluate.mteb_encoder import MtebEncoder

    encoder = MtebEncoder(encode, via="default", root=Root.from_url("/data/animals"))
    mteb.evaluate(encoder, mteb.get_tasks(["VGGSoundAVV2ARetrieval"]))

All that it embeds is in the space of one family, CLAP: texts and sounds by its own towers; pictures by a
tower that joins it (`encode.clap_image`), or by CLIP and a translator. A video is the mean of its frames, as
a clip is. `mteb` (the extra of that name) is imported where it is needed alone.

Shapes: N items, D dimensions.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.encode.encoder import EncoderSpec, encode, get_spaces, get_tower
from pipelines.encode.resolve import resolve
from pipelines.errors import ConfigError, UndecodableMediaError
from pipelines.evaluate.bench import Bench
from pipelines.evaluate.translators import find_translator
from pipelines.store.root import Root
from pipelines.translate.translator import FOLDER, Translator
from schemas.encoders import Encode
from schemas.families import Column, Modality, get_modality
from schemas.space import Space

_EXTRA = "mteb"
# A clip of a dataset has as many frames, evenly spaced.
_FRAMES = 4


@dataclass(frozen=True, eq=False)
class _EmbeddingPath:
    """How one medium of theirs gets into the family: an encoder, and perhaps a translator after it."""

    spec: EncoderSpec
    modality: Modality
    translator: Translator | None

    def embed(self, items: Sequence[Any]) -> np.ndarray:
        tower = get_tower(self.spec, self.modality)
        units_ND = encode(tower, [tower.prepare(item) for item in items], self.spec.space.batch_rows)[0]
        if self.translator is None:
            return units_ND
        return self.translator.translate(units_ND, self.translator.card.source_space)


class MtebEncoder:
    """An encoder of texts, sounds, pictures and videos, as `mteb.evaluate` takes it.

    Args:
        encode: the encoders, as in a dataset's file.
        via: a translator from CLIP's pictures: `pocket`, `default` or a NAME of the root, or its folder,
            ROOT/translators/NAME. None where `encode` has a tower of pictures, or pictures do not matter.
        root: with its translators; None if `via` needs none.
        name: in their tables.
        family: that everything is embedded in.

    Raises:
        ConfigError: `mteb` is not installed, or the encoders or the translator are not there.
    """

    def __init__(
        self,
        encode: Encode,
        via: str | None = None,
        root: Root | None = None,
        name: str = "echolens",
        family: str = "clap",
    ) -> None:
        if importlib.util.find_spec(_EXTRA) is None:
            raise ConfigError(
                f"the package {_EXTRA} is not installed; install the extra, as in `pip install "
                f"echolens[{_EXTRA}]`"
            )
        self._name, self._family = name, family
        self._encode = encode
        self._specs = resolve(encode)
        self._spaces = get_spaces(self._specs)
        if via is not None and "/" in via:
            folder = Path(via).expanduser().resolve()
            if folder.parent.name != FOLDER:
                raise ConfigError(
                    f"via {via}: it is no folder ROOT/{FOLDER}/NAME; give such a folder, or a name"
                )
            root, via = Root.from_url(str(folder.parents[1])), folder.name
        self._translator = None if via is None else self._open_translator(via, root)

    def _open_translator(self, via: str, root: Root | None) -> Translator:
        source, target = self._name_column("image", "clip"), self._name_column("audio", self._family)
        bench = Bench("picture->sound", source, target, self._spaces, self._encode, root, (), 0)
        found = find_translator(bench, via)
        space = found.card.source_space
        fitting = [column for column, own in self._spaces.items() if own.is_comparable(space)]
        if not bench.is_in_target(found.card.target_space) or source not in fitting:
            raise ConfigError(
                f"translator {via} leads from {space} to {found.card.target_space}, and not from {source} of "
                f"{self._spaces[source]} to {target} of {self._spaces[target]}; name another"
            )
        return found.open()

    def _name_column(self, modality: Modality, family: str) -> Column:
        column = f"{family}_{modality}"
        if column not in self._spaces:
            raise ConfigError(
                f"there is no encoder of {column}: `encode` fills {', '.join(self._spaces) or 'nothing'}; "
                "name one that does"
            )
        return column

    @cached_property
    def _paths(self) -> Mapping[Modality, _EmbeddingPath]:
        """What is embedded, and how."""
        columns = {column: get_modality(column) for column in self._spaces if self._is_own(column)}
        found = {
            modality: _EmbeddingPath(self._specs[self._encode.find_key(column)], modality, None)
            for column, modality in columns.items()
        }
        if self._translator is not None:
            found["image"] = _EmbeddingPath(self._specs["clip"], "image", self._translator)
        return found

    def _is_own(self, column: Column) -> bool:
        return column.rpartition("_")[0] == self._family

    @property
    def space(self) -> Space:
        """The space of all vectors."""
        return self._spaces[self._name_column("audio", self._family)]

    @property
    def mteb_model_meta(self) -> Any:
        """What their tables say of it."""
        from mteb.models.model_meta import ModelMeta

        kinds = {"text": "text", "audio": "audio", "image": "image"}
        there = [theirs for own, theirs in kinds.items() if own in self._paths]
        return ModelMeta.model_validate(
            dict.fromkeys(
                ("loader", "release_date", "n_parameters", "memory_usage_mb", "max_tokens", "license"), None
            )
            | dict.fromkeys(("open_weights", "public_training_code", "public_training_data"), None)
            | {
                "name": f"echolens/{self._name}",
                "revision": self._hash_weights(),
                "languages": ["eng-Latn"],
                "embed_dim": self.space.dims,
                "framework": ["PyTorch"],
                "similarity_fn_name": "cosine",
                "use_instructions": False,
                "training_datasets": None,
                "modalities": there + (["video"] if "image" in there else []),
            }
        )

    def _hash_weights(self) -> str:
        used = sorted({path.spec.space.identity for path in self._paths.values()})
        used += [self._translator.card.weights_sha256] if self._translator else []
        return hashlib.sha256(" ".join(used).encode()).hexdigest()[:40]

    def encode(self, inputs: Any, **_: Any) -> np.ndarray:
        """Return unit vectors of all rows of a loader of theirs, float32 [N, D].

        A row of several media is the direction of the mean of their unit vectors.

        Args:
            inputs: batches, each a mapping of media to a list; its data set has `features`.

        Raises:
            ConfigError: a medium is none that can be embedded.
            UndecodableMediaError: an item cannot be decoded.
        """
        features = [each for each in _READERS if each in inputs.dataset.features]
        wanted = {each: _READERS[each][0] for each in features}
        if not features or (lacking := [each for each in features if wanted[each] not in self._paths]):
            has, named = ", ".join(self._paths), ", ".join(lacking if features else inputs.dataset.features)
            raise ConfigError(
                f"rows of {named} cannot be embedded by encoders of {has}; for pictures name a translator "
                "with `via`, or a tower with encode.clap_image"
            )
        parts: list[np.ndarray] = []
        for batch in inputs:
            units = [self._embed_medium(each, batch[each]) for each in features]
            parts.append(_normalize(np.mean(units, axis=0)))
        return np.concatenate(parts)

    def _embed_medium(self, medium: str, items: Iterable[Any]) -> np.ndarray:
        modality, read = _READERS[medium]
        pieces = [read(item) for item in items]
        units_MD = self._paths[modality].embed([piece for item in pieces for piece in item])
        ends = np.cumsum([len(item) for item in pieces])[:-1]
        return _normalize(np.stack([own_PD.mean(0) for own_PD in np.split(units_MD, ends)]))

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return the cosine of every vector to every other one, as theirs do."""
        from mteb.similarity_functions import cos_sim

        return cos_sim(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return the cosine of every pair, as theirs do."""
        from mteb.similarity_functions import pairwise_cos_sim

        return pairwise_cos_sim(embeddings1, embeddings2)


def _normalize(vectors_ND: np.ndarray) -> np.ndarray:
    return np.asarray(vectors_ND / np.linalg.norm(vectors_ND, axis=1, keepdims=True), np.float32)


def _read_text(text: str) -> list[str]:
    return [text]


def _read_picture(picture: Any) -> list[bytes]:
    file = io.BytesIO()
    # Lossless, and no smaller than need be: it is decoded at once.
    picture.convert("RGB").save(file, "PNG", compress_level=1)
    return [file.getvalue()]


def _read_sound(sound: Any) -> list[bytes]:
    """Return a sound as a file of float32, which loses nothing. Their decoders have the keys, too."""
    import soundfile

    wave_T = np.asarray(sound["array"], np.float32)
    if wave_T.ndim == 2:
        wave_T = wave_T.mean(0)
    if not wave_T.size:
        raise UndecodableMediaError("empty")
    file = io.BytesIO()
    soundfile.write(file, wave_T, int(sound["sampling_rate"]), format="WAV", subtype="FLOAT")
    return [file.getvalue()]


def _read_video(video: Any) -> list[bytes]:
    """Return frames of a decoder, evenly spaced."""
    from PIL import Image

    count = video.metadata.num_frames
    numbers = [int((number + 0.5) * count / _FRAMES) for number in range(_FRAMES)]
    frames = np.asarray(video.get_frames_at(numbers).data)
    return [_read_picture(Image.fromarray(frame.transpose(1, 2, 0)))[0] for frame in frames]


# Their medium -> the modality that embeds it, and what makes pieces of an item.
_READERS: Mapping[str, tuple[Modality, Any]] = {
    "text": ("text", _read_text),
    "image": ("image", _read_picture),
    "audio": ("audio", _read_sound),
    "video": ("image", _read_video),
}
