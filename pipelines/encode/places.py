"""Where the weights of a dataset's encoders are: which of these places nobody needs to vouch for."""

from __future__ import annotations

from collections.abc import Iterable

from pipelines.encode.loaders.pocket import POCKET_TOWER
from pipelines.errors import ConfigError
from pipelines.store.models import find_model_folder
from pipelines.store.places import check_places, is_place
from pipelines.store.root import Root
from pipelines.store.trust import check_classes
from schemas.custom_loader import OtherEncoder
from schemas.encoders import POCKET, TOWER, Encode, Encoder, OpenClipEncoder

# Repositories of the hub that are defaults of ours, and the checkpoints of laion_clap by its own names
# (its hook.py).
_KNOWN = frozenset({
    "laion/clap-htsat-unfused",
    "roberta-base",
    *(f"lukewys/laion_clap/{name}.pt" for name in (
        "630k-best", "630k-audioset-best", "630k-fusion-best", "630k-audioset-fusion-best",
        "music_audioset_epoch_15_esc_90.14", "music_speech_epoch_15_esc_89.25",
        "music_speech_audioset_epoch_15_esc_89.98",
    )),
})  # fmt: skip
# Arguments of our loaders that name a place; of another class, whatever looks like one does.
_PLACES = frozenset({"model", "weights", "tokenizer", "audio"})
# `joins` is the identity of a space.
_NO_PLACES = {"loader", "revision", "joins"}


def check_encoders(encode: Encode, keys: Iterable[str] | None = None) -> None:
    """Refuse encoders whose class or weights only a root names.

    Args:
        encode: of the dataset.
        keys: of the encoders that are opened; None for all.

    Raises:
        ConfigError: there is one.
    """
    used = tuple(encode.entries if keys is None else keys)
    if source := encode.given_trust.source:
        named = {
            key: {"loader": getattr(entry, "loader", "")} for key, entry in _select(encode, used).items()
        }
        by = encode.segment.by if keys is None else None
        classifier = {"segment": {"by": {"loader": by.loader}}} if by else {}
        check_classes({"encode": named | classifier}, encode.trusted, source)
    check_places(encode.given_trust, find_encoder_places(encode, None if keys is None else used))


def find_encoder_places(encode: Encode, keys: Iterable[str] | None = None) -> list[str]:
    """Return the keys by which encoders name places, but for those that a root gives and everybody knows.

    Args:
        encode: of the dataset.
        keys: of the encoders that are opened; None for all.
    """
    places = []
    for key, entry in _select(encode, keys).items():
        if encode.given_trust.is_from_root(f"encode.{key}"):
            places += _find_places(key, entry)
    if keys is None and encode.segment.by and encode.given_trust.is_from_root("encode.segment.by"):
        places += _find_places("segment.by", encode.segment.by)
    return places


def locate_tower(encode: Encode, entry: Encoder) -> Encoder:
    """Return an entry of `encode` with the folder of its tower in place of a name; others as they are.

    Raises:
        ConfigError: there is no such tower.
        StorageError: a file of it is not that of its card.
    """
    if not isinstance(entry, OtherEncoder) or entry.loader != TOWER:
        return entry
    keys = entry.model_dump()
    weights = keys.get("weights")
    if not isinstance(weights, str) or is_place(weights):
        return entry
    if weights == POCKET:
        folder = POCKET_TOWER
    elif encode.root:
        folder = find_model_folder(Root.from_url(encode.root, encode.given_trust.links), weights)
    else:
        raise ConfigError(
            f"tower {weights!r} is a model of a root, and none is given; name a folder, with a slash"
        )
    return OtherEncoder.model_validate(keys | {"weights": str(folder)})


def _select(encode: Encode, keys: Iterable[str] | None) -> dict[str, Encoder]:
    wanted = set(encode.entries if keys is None else keys)
    return {key: entry for key, entry in encode.entries.items() if key in wanted}


def _find_places(key: str, entry: Encoder) -> list[str]:
    if entry is None or entry == "pocket":
        return []
    if isinstance(entry, OpenClipEncoder):
        if entry.model.startswith(("hf-hub:", "local-dir:")):
            return [f"encode.{key}.model"]
        return [] if _is_tag(entry.model, entry.weights) else [f"encode.{key}.weights"]
    ours = ":" not in entry.loader
    if entry.loader == TOWER and not is_place(getattr(entry, "weights", "")):
        return []  # of this root, or what ships
    return [
        f"encode.{key}.{name}"
        for name, value in entry.model_dump(exclude=_NO_PLACES).items()
        if isinstance(value, str) and value not in _KNOWN and _is_place(name, value, ours=ours)
    ]


def _is_place(name: str, value: str, *, ours: bool) -> bool:
    return (ours and name in _PLACES) or is_place(value)


def _is_tag(model: str, weights: str) -> bool:
    # Known without the import, which takes seconds.
    if (model, weights) == tuple(OpenClipEncoder.model_fields[key].default for key in ("model", "weights")):
        return True
    import open_clip

    tags = {tag.lower().replace("-", "_") for tag in open_clip.list_pretrained_tags_by_model(model)}
    return weights.lower().replace("-", "_") in tags
