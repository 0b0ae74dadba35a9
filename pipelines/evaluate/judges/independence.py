"""Whether a judge had a part in what it judges: it must not be what conditioned, guided or chose it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.encode.encoder import EncoderSpec
from pipelines.encode.space_check import CAPTIONS, LEAST_COSINE, encode_captions
from pipelines.evaluate.judges.judge import JudgeSpec, MediaJudge
from pipelines.metrics.alignment import cosine_of_pairs
from schemas.space import Space


def is_independent(
    spec: JudgeSpec, judge: MediaJudge, used: Sequence[Space], encoders: Sequence[EncoderSpec]
) -> bool:
    """Return whether none of a judge's spaces is one of those that were used in the making.

    The same weights in another precision, or a net that was trained into a space, are that space; and so is a
    copy of its text tower in other files, which captions show.

    Args:
        spec: of the judge.
        judge: opened.
        used: spaces of vectors that conditioned, guided or chose the samples.
        encoders: of the dataset, some of which may have those spaces.
    """
    if share_weights(spec.spaces(), [space.identity for space in used]):
        return False
    return not any(
        _speak_alike(judge, own)
        for own in encoders
        if any(own.space.identity == space.identity for space in used)
    )


def share_weights(own: Sequence[str], used: Sequence[str]) -> bool:
    """Return whether two sets of identities of spaces, SHA256/DIMSd or SHA256, have weights in common."""
    return bool({each.partition("/")[0] for each in own} & {each.partition("/")[0] for each in used})


def _speak_alike(judge: MediaJudge, own: EncoderSpec) -> bool:
    """Return whether a judge and an encoder give captions the same vectors."""
    if "text" not in own.open():
        return False
    theirs_ND = judge.embed_texts(CAPTIONS)
    ours_ND = encode_captions(own, CAPTIONS)
    if theirs_ND is None or theirs_ND.shape != ours_ND.shape:
        return False
    return bool(np.mean(cosine_of_pairs(theirs_ND, ours_ND)) >= LEAST_COSINE)
