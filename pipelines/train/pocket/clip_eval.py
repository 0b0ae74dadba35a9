"""Scores a pocket CLIP by retrieval on held-out scenes, beside trivial features."""

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
    """Return retrieval scores of a pocket CLIP on held-out scenes, and those of trivial features.

    `rows` pictures, as a dataset stores them (JPEG, shorter side 256 px), are looked up with the
    captions of `rows` other scenes, and the other way round. A hit is right if it shows
    or names the kind of the query.

    Args:
        weights: the folder.
        seed: of the scenes.
        rows: size of the gallery.

    Returns:
        `text_to_image_r1`, `image_to_text_r1`: share of queries whose first hit is right;
        `text_to_image_top10`, `image_to_text_top10`: mean share of right hits among the first ten;
        `sound_text_to_image_r1`: the same with captions of sounds;
        `colour`, `count`, `background`: share of pictures for which the caption with the right word
        lies nearer than those with any other;
        `mean_colour`, `pixels_8x8`: share of held-out pictures whose nearest class mean is right.
    """
    gallery = [world.draw(seed, "heldout", i) for i in range(rows)]
    queries = [world.draw(seed, "heldout", i) for i in range(rows, 2 * rows)]
    pictures = [_compress(picture(scene)) for scene in gallery]
    model = _Model(weights)
    image_ND = model.encode_pictures(pictures)
    text_ND = model.encode_texts([captions.caption(s, "picture", "heldout") for s in queries])
    sound_text_ND = model.encode_texts([captions.caption(s, "sound", "heldout") for s in queries])
    right = np.array([[a.kind == g.kind for g in gallery] for a in queries])
    scores: dict[str, float] = {}
    for name, cosines, hits in (
        ("text_to_image", text_ND @ image_ND.T, right),
        ("image_to_text", image_ND @ text_ND.T, right.T),
        ("sound_text_to_image", sound_text_ND @ image_ND.T, right),
    ):
        first = np.take_along_axis(hits, np.argsort(-cosines, axis=1)[:, :10], axis=1)
        scores[f"{name}_r1"] = float(first[:, 0].mean())
        scores[f"{name}_top10"] = float(first.mean())
    scores["colour"] = _score_attribute(model, gallery, image_ND, "colour", world.COLOURS)
    scores["count"] = _score_attribute(model, gallery, image_ND, "count", range(1, world.MAX_COUNT + 1))
    scores["background"] = _score_attribute(model, gallery, image_ND, "background", world.BACKGROUNDS)
    return scores | _score_trivial_features(gallery, pictures, seed)


class _Model:
    """A pocket CLIP as open_clip loads it."""

    def __init__(self, weights: Path) -> None:
        import open_clip

        name = f"local-dir:{weights}"
        self._model, _, self._transform = open_clip.create_model_and_transforms(
            name, precision="fp32", require_pretrained=True
        )
        self._model.eval()
        self._tokenizer = open_clip.get_tokenizer(name)

    def encode_pictures(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return unit vectors `[N, 512]`."""
        import torch
        from PIL import Image

        with torch.inference_mode():
            inputs = torch.stack([self._transform(Image.fromarray(p)) for p in pictures])
            parts = [self._model.encode_image(x, normalize=True) for x in torch.split(inputs, 64)]
            return np.asarray(torch.cat(parts))

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors `[N, 512]`."""
        import torch

        with torch.inference_mode():
            tokens_NT = self._tokenizer(list(texts))
            return np.asarray(self._model.encode_text(tokens_NT, normalize=True))


def _compress(drawn: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture after two JPEGs: the web's at quality 90, a dataset's at 256 px and quality 95."""
    import cv2

    web = _encode_jpeg(drawn, 90)
    scale = 256 / min(web.shape[:2])
    size = (round(web.shape[1] * scale), round(web.shape[0] * scale))
    return _encode_jpeg(np.asarray(cv2.resize(web, size, interpolation=cv2.INTER_LANCZOS4)), 95)


def _encode_jpeg(drawn: NDArray[Any], quality: int) -> NDArray[np.uint8]:
    import io

    from PIL import Image

    with io.BytesIO() as file:
        Image.fromarray(drawn).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file))


def _score_attribute(
    model: _Model,
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
    text_NVD = model.encode_texts([t for row in texts for t in row]).reshape(len(scenes), len(values), -1)
    nearest = np.einsum("nvd,nd->nv", text_NVD, image_ND).argmax(1)
    right = [values[n] == getattr(scene, attribute) for n, scene in zip(nearest, scenes, strict=True)]
    mentions = [len(set(row)) > 1 for row in texts]  # not every caption mentions it
    return float(np.mean(np.array(right)[mentions]))


def _score_trivial_features(
    scenes: Sequence[Scene], pictures: Sequence[NDArray[np.uint8]], seed: int
) -> dict[str, float]:
    """Return the accuracy of a nearest-class-mean classifier on trivial features of training scenes."""
    fitted = [world.draw(seed, "train", i) for i in range(2 * len(scenes))]
    known_kinds = np.array([scene.kind for scene in fitted])
    true_kinds = np.array([scene.kind for scene in scenes])
    known = _shrink_to_8x8([picture(scene, 160) for scene in fitted])
    unknown = _shrink_to_8x8(pictures)
    return {
        "mean_colour": _classify_by_mean(known.mean(1), known_kinds, unknown.mean(1), true_kinds),
        "pixels_8x8": _classify_by_mean(
            known.reshape(len(known), -1), known_kinds, unknown.reshape(len(unknown), -1), true_kinds
        ),
    }


def _shrink_to_8x8(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """Return `[N, 64, 3]`."""
    import cv2

    small = [cv2.resize(p, (8, 8), interpolation=cv2.INTER_AREA) for p in pictures]
    return np.array(small, np.float64).reshape(len(small), 64, 3)


def _classify_by_mean(
    known_ND: NDArray[np.float64],
    known_kinds: NDArray[np.str_],
    unknown_ND: NDArray[np.float64],
    true_kinds: NDArray[np.str_],
) -> float:
    names = np.unique(known_kinds)
    means = np.array([known_ND[known_kinds == name].mean(0) for name in names])
    distances = ((unknown_ND[:, None] - means[None]) ** 2).sum(-1)
    return float(np.mean(names[distances.argmin(1)] == true_kinds))
