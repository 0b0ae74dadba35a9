"""What a pocket CLIP finds on held-out draws, beside what trivial features find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.miniature import captions, world
from pipelines.miniature.pictures import picture
from pipelines.miniature.world import Scene


def evaluate(weights: Path, seed: int, rows: int) -> dict[str, float]:
    """Return what a pocket CLIP finds on held-out draws, beside what trivial features find.

    `rows` pictures, as a dataset stores them (JPEG, shorter side 256 px), are looked up with the
    captions of `rows` other scenes, and the other way round. Kinds count: a hit is right if it shows
    or names the kind that was asked for.

    Args:
        weights: the folder.
        seed: of the scenes.
        rows: size of the gallery.

    Returns:
        `text_to_image_r1`, `image_to_text_r1`: share of questions whose first hit is right;
        `text_to_image_top10`, `image_to_text_top10`: mean share of right hits among the first ten;
        `sound_text_to_image_r1`: the same with captions of sounds;
        `colour`, `count`, `background`: share of pictures for which the caption with the right word
        lies nearer than those with any other;
        `mean_colour`, `pixels_8x8`: share of held-out pictures whose nearest class mean is right.
    """
    gallery = [world.draw(seed, "heldout", i) for i in range(rows)]
    asking = [world.draw(seed, "heldout", i) for i in range(rows, 2 * rows)]
    pictures = [_stored(picture(scene)) for scene in gallery]
    model = _Loaded(weights)
    image_ND = model.pictures(pictures)
    text_ND = model.texts([captions.caption(s, "picture", "heldout") for s in asking])
    heard_ND = model.texts([captions.caption(s, "sound", "heldout") for s in asking])
    right = np.array([[a.kind == g.kind for g in gallery] for a in asking])
    scores: dict[str, float] = {}
    for name, cosines, hits in (
        ("text_to_image", text_ND @ image_ND.T, right),
        ("image_to_text", image_ND @ text_ND.T, right.T),
        ("sound_text_to_image", heard_ND @ image_ND.T, right),
    ):
        first = np.take_along_axis(hits, np.argsort(-cosines, axis=1)[:, :10], axis=1)
        scores[f"{name}_r1"] = float(first[:, 0].mean())
        scores[f"{name}_top10"] = float(first.mean())
    scores["colour"] = _told(model, gallery, image_ND, "colour", world.COLOURS)
    scores["count"] = _told(model, gallery, image_ND, "count", range(1, world.MAX_COUNT + 1))
    scores["background"] = _told(model, gallery, image_ND, "background", world.BACKGROUNDS)
    return scores | _trivial(gallery, pictures, seed)


class _Loaded:
    """A pocket CLIP as open_clip loads it."""

    def __init__(self, weights: Path) -> None:
        import open_clip

        name = f"local-dir:{weights}"
        self._model, _, self._transform = open_clip.create_model_and_transforms(
            name, precision="fp32", require_pretrained=True
        )
        self._model.eval()
        self._tokenizer = open_clip.get_tokenizer(name)

    def pictures(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return unit vectors `[N, 512]`."""
        import torch
        from PIL import Image

        with torch.inference_mode():
            inputs = torch.stack([self._transform(Image.fromarray(p)) for p in pictures])
            parts = [self._model.encode_image(x, normalize=True) for x in torch.split(inputs, 64)]
            return np.asarray(torch.cat(parts))

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors `[N, 512]`."""
        import torch

        with torch.inference_mode():
            tokens_NT = self._tokenizer(list(texts))
            return np.asarray(self._model.encode_text(tokens_NT, normalize=True))


def _stored(drawn: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture after the web's JPEG and a dataset's: quality 90, shorter side 256 px, 95."""
    import cv2

    sent = _jpeg(drawn, 90)
    scale = 256 / min(sent.shape[:2])
    size = (round(sent.shape[1] * scale), round(sent.shape[0] * scale))
    return _jpeg(np.asarray(cv2.resize(sent, size, interpolation=cv2.INTER_LANCZOS4)), 95)


def _jpeg(drawn: NDArray[Any], quality: int) -> NDArray[np.uint8]:
    import io

    from PIL import Image

    with io.BytesIO() as file:
        Image.fromarray(drawn).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file))


def _told(
    model: _Loaded,
    scenes: Sequence[Scene],
    image_ND: NDArray[np.float32],
    attribute: str,
    values: Sequence[Any],
) -> float:
    """Return how often the caption with the right value of an attribute is the nearest."""
    texts = [
        [captions.caption(replace(scene, **{attribute: v}), "picture", "heldout") for v in values]
        for scene in scenes
    ]
    text_NVD = model.texts([t for row in texts for t in row]).reshape(len(scenes), len(values), -1)
    nearest = np.einsum("nvd,nd->nv", text_NVD, image_ND).argmax(1)
    right = [values[n] == getattr(scene, attribute) for n, scene in zip(nearest, scenes, strict=True)]
    tells = [len(set(row)) > 1 for row in texts]  # not every caption tells it
    return float(np.mean(np.array(right)[tells]))


def _trivial(scenes: Sequence[Scene], pictures: Sequence[NDArray[np.uint8]], seed: int) -> dict[str, float]:
    """Return the accuracy of the nearest class mean, fitted on training draws, over trivial features."""
    fitted = [world.draw(seed, "train", i) for i in range(2 * len(scenes))]
    known_kinds = np.array([scene.kind for scene in fitted])
    true_kinds = np.array([scene.kind for scene in scenes])
    known = _pixels_8x8([picture(scene, 160) for scene in fitted])
    unknown = _pixels_8x8(pictures)
    return {
        "mean_colour": _nearest_mean(known.mean(1), known_kinds, unknown.mean(1), true_kinds),
        "pixels_8x8": _nearest_mean(
            known.reshape(len(known), -1), known_kinds, unknown.reshape(len(unknown), -1), true_kinds
        ),
    }


def _pixels_8x8(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """Return `[N, 64, 3]`."""
    import cv2

    small = [cv2.resize(p, (8, 8), interpolation=cv2.INTER_AREA) for p in pictures]
    return np.array(small, np.float64).reshape(len(small), 64, 3)


def _nearest_mean(
    known_ND: NDArray[np.float64],
    known_kinds: NDArray[np.str_],
    unknown_ND: NDArray[np.float64],
    true_kinds: NDArray[np.str_],
) -> float:
    names = np.unique(known_kinds)
    means = np.array([known_ND[known_kinds == name].mean(0) for name in names])
    distances = ((unknown_ND[:, None] - means[None]) ** 2).sum(-1)
    return float(np.mean(names[distances.argmin(1)] == true_kinds))
