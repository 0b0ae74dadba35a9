"""`encode.segment`: which part of a clip is encoded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from schemas.custom_loader import OtherEncoder
from schemas.strict import StrictModel


def _check_prompt(text: str) -> str:
    if not text.strip():
        raise ValueError("a prompt is blank; write what is heard, as in 'a dog barking'")
    return text


Prompt = Annotated[str, AfterValidator(_check_prompt)]


def _name_classifier(value: Any) -> Any:
    """Take `NAME:FOLDER` of a classifier that ships as its loader and weights."""
    name, colon, place = value.partition(":") if isinstance(value, str) else ("", "", "")
    if colon and name == AST and place:
        return {"loader": AST, "weights": place}
    return value


AST = "ast"
# Settings of segments that prompts or a classifier select.
_PROMPTED = frozenset({
    "prompts", "against", "frame_prompts", "by", "classes", "threshold", "below", "merge", "temperature",
})  # fmt: skip


class Segment(StrictModel):
    """Which part of a clip its vectors stand for: `clap_audio` for its sound, `clip_image` for its frames."""

    mode: Literal["whole", "middle", "best"] = Field(
        "whole",
        description="whole: the mean of its windows and frames; middle: the segment and the frame in the "
        "middle; best: those that fit the caption best, or the prompts",
    )
    segment_s: float = Field(3.0, gt=0, le=60, description="length of the segment")
    step_s: float = Field(1.0, gt=0, description="from one segment that is tried to the next; for best")
    # All below are for best, and are stored only where they are asked for.
    prompts: tuple[Prompt, ...] = Field((), description="what is to be heard, in place of the caption")
    against: tuple[Prompt, ...] = Field(
        ("speech", "music", "wind", "traffic noise", "silence"), description="what else may be heard"
    )
    frame_prompts: tuple[Prompt, ...] = Field((), description="what is to be seen; unset: the prompts")
    by: Annotated[OtherEncoder, BeforeValidator(_name_classifier)] | None = Field(
        None, description="a classifier in place of prompts: ast:FOLDER, or {loader: module:Class}"
    )
    classes: tuple[Prompt, ...] = Field((), description="of the classifier: what is to be heard")
    threshold: float = Field(0.5, ge=0, le=1, description="the score from which on it is heard")
    below: Literal["drop", "keep"] = Field("drop", description="clips in which it is heard nowhere")
    merge: bool = Field(True, description="whether neighbours above the threshold become one segment")
    temperature: float = Field(0.07, gt=0, le=1, description="of the softmax over prompts and against")

    @property
    def is_prompted(self) -> bool:
        """Whether prompts or classes take the place of the caption."""
        return bool(self.prompts or self.by)

    @model_validator(mode="after")
    def _check_prompts(self) -> Segment:
        given = self.model_fields_set & _PROMPTED
        if given and self.mode != "best":
            raise ValueError(f"{min(given)} is for mode best, and the mode is {self.mode}; leave one out")
        if given and not self.is_prompted:
            raise ValueError(f"{min(given)} is given without prompts and without a classifier (by); add one")
        if self.prompts and self.by:
            raise ValueError("prompts and a classifier (by) are given; leave one out")
        if self.prompts and not self.against:
            raise ValueError("against is empty, so every sound would fit the prompts; say what else there is")
        if (self.by is None) == bool(self.classes):
            raise ValueError("a classifier (by) and its classes belong together; give both or none")
        return self

    @model_serializer(mode="wrap")
    def _write_asked(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A dataset without prompts is stored as before there were any.
        written: dict[str, Any] = write(self)
        return {key: value for key, value in written.items() if key not in _PROMPTED or self._uses(key)}

    def _uses(self, key: str) -> bool:
        if key in {"prompts", "against", "temperature"}:
            return bool(self.prompts)
        if key in {"by", "classes"}:
            return self.by is not None
        return bool(self.frame_prompts) if key == "frame_prompts" else self.is_prompted

    def get_pinned(self) -> dict[str, Any]:
        """Return the settings that the mode uses, which pin the vectors of a set; none for whole clips."""
        used_keys = {"whole": (), "middle": ("mode", "segment_s"), "best": ("mode", "segment_s", "step_s")}
        pinned = {key: getattr(self, key) for key in used_keys[self.mode]}
        if self.is_prompted:
            pinned |= {key: value for key, value in self.model_dump(mode="json").items() if key in _PROMPTED}
        if self.by:
            # The same weights are the same setting wherever they lie.
            entry = {key: Path(str(value)).name for key, value in self.by.model_dump().items() if value}
            pinned["by"] = entry
        return pinned


WHOLE = Segment()
