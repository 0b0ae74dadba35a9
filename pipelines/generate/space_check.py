"""Checks that the vectors of a dataset are of the space that a generator was trained on.

A vector of another encoder may have the same dimensions; then it gives noise, or the same sample for every
vector, without any error. Texts are compared through the text towers of both; the tower of the media, which
a generator does not bring, by whether stored media lie nearer to their own captions than to others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.encode.encoder import EncoderSpec, find_modalities
from pipelines.encode.pairing import compare_encoder, compare_stored
from pipelines.encode.resolve import resolve_entry
from pipelines.encode.space_check import CAPTIONS, LEAST_COSINE, encode_captions
from pipelines.errors import SpaceError
from pipelines.generate.generator import ChosenGenerator
from pipelines.generate.judge import Judge
from pipelines.generate.media import MEDIA
from pipelines.generate.request import ConditioningPath
from pipelines.store.vectors import VectorReader
from schemas.encoders import Encode
from schemas.families import Column, Modality, get_family, get_modality, make_column
from schemas.space import Space

_NOUNS: Mapping[Modality, str] = {"audio": "sounds", "image": "pictures"}


@dataclass(frozen=True)
class VerifiedPath:
    """What is known of a path whose vectors are the generator's.

    Attributes:
        judge: scores candidates; None if none can.
        cosine: mean cosine of captions by both text towers; None where they were not compared.
        why_no_judge: half a sentence; empty if there is one.
    """

    judge: Judge | None
    cosine: float | None
    why_no_judge: str = ""


def verify_path(
    encode: Encode,
    pinned: Mapping[Column, Space],
    generator: ChosenGenerator,
    path: ConditioningPath,
    stored: VectorReader | None = None,
) -> VerifiedPath:
    """Return the judge of a generator's samples, once the vectors that condition it are checked.

    Args:
        encode: the encoders of the dataset's set.
        pinned: column -> the space of the stored vectors.
        generator: to check.
        path: to the generator.
        stored: the vectors of a version, to check the tower of the media by; None: by probes.

    Raises:
        SpaceError: vectors would be given to a generator of another space.
    """
    info = generator.info
    cosines = [
        check_own_space(
            generator, each.reads, _resolve_family(encode, pinned, each.reads), each.space, path.what
        )
        for each in path.conditions
    ]
    for each in path.conditions:
        if (spec := _resolve_family(encode, pinned, each.reads)) is not None:
            check_media_tower(generator, each.target, spec, stored, path.what)
    cosine = next((each for each in cosines if each is not None), None)
    if not info.columns:
        return VerifiedPath(None, cosine, f"generator {info.name} reads no vectors to compare with")
    if not path.conditions:
        # Captions, by its own text tower: its samples can be judged if that is the dataset's.
        try:
            cosine = check_texts(encode, pinned, generator, path.what)
        except SpaceError as error:
            return VerifiedPath(None, None, str(error))
    judged = make_column(get_family(info.columns[0]), MEDIA[info.medium].modality)
    spec = resolve_entry(encode, encode.find_key(judged), pinned) if judged in pinned else None
    if spec is None:
        return VerifiedPath(None, cosine, f"the dataset's set has no encoder for {judged}")
    return VerifiedPath(Judge(spec, MEDIA[info.medium].modality), cosine)


def check_texts(
    encode: Encode, pinned: Mapping[Column, Space], generator: ChosenGenerator, what: str
) -> float | None:
    """Return what `check_own_space` does for a generator that takes captions by its own text tower.

    Args:
        encode: the encoders of the dataset's set.
        pinned: column -> the space of the stored vectors.
        generator: that reads a column.
        what: the origin of the vectors, for the error message.

    Raises:
        SpaceError: the dataset's encoder is not the generator's own.
    """
    column = generator.info.columns[0]
    spec = _resolve_family(encode, pinned, column)
    if spec is None:
        family = get_family(column).upper()
        raise SpaceError(f"{what} needs a {family} to be compared with, and the dataset's set has none")
    return check_own_space(generator, column, spec, spec.space, what)


def check_own_space(
    generator: ChosenGenerator, column: Column, spec: EncoderSpec | None, target: Space, what: str
) -> float | None:
    """Return the mean cosine of `CAPTIONS` between a generator's text tower and an encoder's.

    Args:
        generator: to check.
        column: that it reads.
        spec: the encoder of the dataset for the column's family; None if it has none.
        target: the space of the vectors that condition the generator.
        what: the origin of the vectors, for the error message.

    Returns:
        None if the generator has no text tower: then the identity that it states is all there is to check.

    Raises:
        SpaceError: the vectors are not of the generator's own space.
    """
    family = get_family(column)
    if spec is None or not spec.space.is_comparable(target):
        found = (
            f"no {family.upper()}"
            if spec is None
            else f"vectors of {spec.space} ({target.describe_differences(spec.space)})"
        )
        raise SpaceError(
            f"{what} leads to {target}, and the dataset's set has {found}, so nothing can be compared; "
            f"train a translator to the {family} column of this set"
        )
    info = generator.info
    if (own := dict(info.spaces).get(column)) is not None and own != target.identity:
        raise SpaceError(
            f"{what} leads to {target} with the identity {target.identity}, and generator {info.name} was "
            f"trained on {own}; take the encoder that it was trained with"
        )
    if info.text_sha256 is None:
        return None
    if _is_own_tower(generator, spec):
        return 1.0
    return _compare_texts(generator, column, spec, target, what)


def check_media_tower(
    generator: ChosenGenerator, column: Column, spec: EncoderSpec, stored: VectorReader | None, what: str
) -> None:
    """Refuse vectors of media that lie no nearer to their own texts than to others.

    Rows of the dataset decide, or where it has too few of both, the miniature world's kinds.

    Args:
        generator: whose text tower is known to be the encoder's; without one nothing is known of its space.
        column: of the vectors that condition it.
        spec: the encoder of the column's family.
        stored: the vectors of a version; None for none.
        what: the origin of the vectors, for the error message.

    Raises:
        SpaceError: matched pairs are not clearly nearer than shuffled ones.
    """
    modality, family = get_modality(column), get_family(column)
    if generator.info.text_sha256 is None or modality == "text":
        return
    if not {modality, "text"} <= {*find_modalities(family, spec.loader)}:
        return
    found = compare_stored(stored, column, make_column(family, "text")) if stored else None
    found = found or compare_encoder(spec, modality)
    if not found.is_clear:
        raise SpaceError(
            f"{what} leads to {spec.space}, whose {_NOUNS[modality]} do not go with their texts: the mean "
            f"cosine is {found}; take the encoder with the {modality} tower that generator "
            f"{generator.info.name} was trained with, and encode the dataset into another set"
        )


def _compare_texts(
    generator: ChosenGenerator, column: Column, spec: EncoderSpec, target: Space, what: str
) -> float:
    info = generator.info
    dataset_ND, own_ND = encode_captions(spec, CAPTIONS), generator.encode_text(CAPTIONS)
    cosine = float((dataset_ND * own_ND).sum(1).mean()) if dataset_ND.shape == own_ND.shape else float("nan")
    if not cosine >= LEAST_COSINE:  # NaN is refused as well
        found = (
            f"the mean cosine of {len(CAPTIONS)} captions is {cosine:.3f}, not {LEAST_COSINE} at least"
            if dataset_ND.shape == own_ND.shape
            else f"it takes vectors of {own_ND.shape[1]} numbers, not of {dataset_ND.shape[1]}"
        )
        advice = info.advice or "build a set with the encoder that it was trained with"
        raise SpaceError(
            f"{what} leads to {target}, which is not the {get_family(column).upper()} of generator "
            f"{info.name}: {found}; {advice} and train a translator to its {column}"
        )
    return cosine


def _resolve_family(encode: Encode, pinned: Mapping[Column, Space], column: Column) -> EncoderSpec | None:
    """Return the encoder of a column's family, or that of the column alone."""
    return resolve_entry(encode, get_family(column), pinned) or resolve_entry(
        encode, encode.find_key(column), pinned
    )


def _is_own_tower(generator: ChosenGenerator, spec: EncoderSpec) -> bool:
    """Return whether the encoder's text tower has the same bytes as the generator's."""
    compute = getattr(spec.loader, "hash_text_tower", None)
    return compute is not None and compute() == generator.info.text_sha256
