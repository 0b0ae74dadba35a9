"""Captions of pictures and sounds of the miniature world, in English.

Captions are lower-case English with full stops and commas as the only marks. The two splits share every
word and no template, so a model that only knows sentences by heart fails on the held-out split.
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np

from pipelines.miniature import translations
from pipelines.miniature.words import (
    COLOUR_WORDS,
    COUNTS,
    HEARD_WHERE,
    NAMES,
    QUERY_WORDS,
    SEEN_WHERE,
    SIZES,
    TIMES,
    TONES,
)
from pipelines.miniature.world import BACKGROUNDS, KINDS, Medium, Scene, Split

# Fields: {things} "two big red bells", {plain} "two bells", {are} is or are, {where}.
SEEN: dict[Split, tuple[str, ...]] = {
    "train": (
        "{things} {where}",
        "{plain} {where}",
        "{things}",
        "a photo of {things} {where}",
        "a photo of {plain}",
        "a picture of {things}",
        "a picture of {plain} {where}",
        "an image of {things} {where}",
        "there {are} {things} {where}",
        "this photo shows {things} {where}",
        "this is a drawing of {things}",
        "{where} there {are} {plain}",
        "{things} can be seen {where}",
        "here you see {things} {where}",
        "a close view of {things}",
        "a scene with {things} {where}.",
        "{things} against the background, {where}.",
        "what you see here {are} {things}.",
    ),
    "heldout": (
        "this picture shows {things} {where}",
        "a view of {things} {where}",
        "here {are} {things}, {where}.",
        "{where} you see {things}.",
        "a scene {where} with {plain}",
        "an image of {plain}",
        "a close photo of {things} {where}.",
        "in this drawing there {are} {things}",
    ),
}
# Fields: {it} "a dog", {does} barks, {doing} barking, {times} twice, {tone} low, {where}.
HEARD: dict[Split, tuple[str, ...]] = {
    "train": (
        "{it} {does} {times} {where}",
        "{it} {does} {times}",
        "{it} {does} {where}",
        "{it} {does} {times} at a {tone} pitch {where}",
        "{it} {does} with a {tone} tone {where}.",
        "{it} {doing}",
        "{it} {doing} {times} {where}",
        "the sound of {it}",
        "the sound of {it} {doing} {where}",
        "a recording of {it} {doing} {times}",
        "you can hear {it} {doing} {where}.",
        "{where}, {it} {does} {times}",
        "this is the {tone} sound of {it} {where}",
        "we hear how {it} {does} {times}",
        "{it} in the background, {doing} {times}",
        "there is {it} {doing} {where}.",
    ),
    "heldout": (
        "{where} you can hear {it}",
        "this is a recording of how {it} {does} {times}",
        "we hear {it} {doing} at a {tone} pitch {where}.",
        "the {tone} sound of {it} {doing} {times}",
        "there is {it}, {doing} {times} {where}",
        "in this recording, {it} {does} {where}.",
        "{times} {it} {does} with a {tone} tone",
    ),
}  # fmt: skip

_WORD = re.compile(r"[a-z]+")


def caption(scene: Scene, medium: Medium, split: Split, variant: int = 0) -> str:
    """Return an English caption of a scene.

    Args:
        scene: what the caption is about.
        medium: "picture" tells what can be seen, "sound" what can be heard.
        split: whose templates to use; the other split never uses them.
        variant: another number gives, most likely, another caption of the same scene.
    """
    rng = scene.rng(f"caption {variant}" if variant else "caption")
    return _describe_picture(scene, rng, split) if medium == "picture" else _describe_sound(scene, rng, split)


def label(kind: str) -> str:
    """Return the kind as VGGSound would label it; some labels have commas."""
    return NAMES[kind].label


def translated(scene: Scene, medium: Medium, language: str) -> str:
    """Return a caption of a scene in another language, one of `translations.LANGUAGES`."""
    return translations.caption(scene, medium, language)


@cache
def vocabulary() -> list[str]:
    """Return, sorted, every word of any caption, label or ordinary query about the world.

    Lower-case, letters only: a tokenizer built from it must lower-case its input and split at other marks.
    """
    texts = [QUERY_WORDS, *KINDS, *BACKGROUNDS, *COUNTS, *TIMES, "a", "an"]
    for names in NAMES.values():
        texts += [*names.seen, *names.heard, *names.verbs, names.label]
    for table in (SIZES, TONES, COLOUR_WORDS, SEEN_WHERE, HEARD_WHERE):
        texts += [text for choices in table.values() for text in choices]
    for templates in (*SEEN.values(), *HEARD.values()):
        texts += [re.sub(r"{\w+}", " ", template) for template in templates]
    return sorted({word for text in texts for word in _WORD.findall(text)})


def _pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _describe_picture(scene: Scene, rng: np.random.Generator, split: Split) -> str:
    noun = _pick(rng, NAMES[scene.kind].seen).split("/")[scene.count > 1]
    size, colour = _pick(rng, SIZES[scene.pitch]), _pick(rng, COLOUR_WORDS[scene.colour])
    return _pick(rng, SEEN[split]).format(
        things=_count_things(scene.count, " ".join(filter(None, (size, colour, noun))), rng),
        plain=_count_things(scene.count, noun, rng),
        are="is" if scene.count == 1 else "are",
        where=_pick(rng, SEEN_WHERE[scene.background]),
    )


def _count_things(count: int, things: str, rng: np.random.Generator) -> str:
    if count > 1:
        return f"{COUNTS[count - 1]} {things}"
    article = "an" if things[0] in "aeiou" else "a"
    return f"{_pick(rng, (article, article, 'one'))} {things}"


def _describe_sound(scene: Scene, rng: np.random.Generator, split: Split) -> str:
    names = NAMES[scene.kind]
    does, doing = _pick(rng, names.verbs).split("/")
    return _pick(rng, HEARD[split]).format(
        it=_pick(rng, names.heard),
        does=does,
        doing=doing,
        times=TIMES[scene.count - 1],
        tone=_pick(rng, TONES[scene.pitch]),
        where=_pick(rng, HEARD_WHERE[scene.background]),
    )
