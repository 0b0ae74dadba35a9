"""The stages that select a part of a clip, before `DecodeStage` in its chain."""

from __future__ import annotations

from collections.abc import Collection

from pipelines.encode.classifiers.registry import find_classes, make_classifier
from pipelines.encode.encoder import EncoderSpecs, get_spaces
from pipelines.encode.prompted_segments import PromptedSegmentStage
from pipelines.encode.segments import SelectSegmentStage, find_compared_columns
from pipelines.errors import ConfigError
from pipelines.stage import Stage
from schemas.families import get_modality
from schemas.segment import Segment


def add_segment_stages(
    segment: Segment, specs: EncoderSpecs, trusted: Collection[str] = ()
) -> tuple[Stage, ...]:
    """Return the stages before `DecodeStage` in the chain of clips; none if clips are encoded whole.

    Args:
        segment: of the dataset's file.
        specs: the encoders, by the keys of the file.
        trusted: classes that are none of ours and may be imported, as module:Class.

    Raises:
        ConfigError: nothing of the set could hear the prompts, or the classifier is missing, not trusted or
            without one of the classes.
    """
    if segment.mode == "whole":
        return ()
    if not segment.is_prompted:
        return (SelectSegmentStage(segment, specs),)
    spaces = get_spaces(specs)
    if not any(get_modality(column) == "audio" for column in spaces):
        raise ConfigError(
            "encode.segment: prompts select a part of the sound, and no encoder of the set embeds sounds; "
            "name one, as in encode.clap, or leave the prompts out"
        )
    if segment.by is None:
        if "audio" not in find_compared_columns(spaces):
            raise ConfigError(
                "encode.segment.prompts: no encoder of the set embeds both sounds and texts; name one, as in "
                "encode.clap, or give a classifier (encode.segment.by)"
            )
        return (PromptedSegmentStage(segment, specs),)
    classifier = make_classifier(segment.by, trusted)
    find_classes(classifier, segment.classes)
    return (PromptedSegmentStage(segment, specs, classifier),)
