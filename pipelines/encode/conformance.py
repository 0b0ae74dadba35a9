"""Conformance checks for custom encoders: the properties that the stages, the index and a cluster rely on."""

from __future__ import annotations

import io
import pickle
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.encode.encoder import EncoderLoader, Tower, Towers, encode
from pipelines.encode.places import locate_tower
from pipelines.encode.registry import import_loader
from pipelines.errors import EcholensError, UndecodableMediaError
from schemas.custom_loader import OtherEncoder
from schemas.encoders import TOWER, Encode
from schemas.families import FAMILIES, MODALITIES, Modality
from schemas.space import Space

# How much a vector may differ with its batch. In half precision sums are rounded to 3 decimal places.
_CLOSE = {"fp32": 1e-5, "bf16": 1e-2, "fp16": 1e-2}

# The driver calls space() before every job, and so does each worker.
_MAX_SPACE_S = 2.0

_PROBES = 5
_TEXTS = ("a dog is barking", "rain on a tin roof", "two red birds", "a church bell far away", "a drum")
_REFUSAL = "UndecodableMediaError('undecodable')"
_ANY_TEXT = ("", " ", "dog " * 1250, "Vögel im Regen", "犬が吠える")


@dataclass(frozen=True, slots=True)
class ConformanceResult:
    """One property of an encoder; `wrong` says what was observed instead, and is empty if it holds."""

    what: str
    wrong: str = ""

    @property
    def ok(self) -> bool:
        """Whether it holds."""
        return not self.wrong


def check(encoder: str | EncoderLoader, keys: Mapping[str, Any] | None = None) -> list[ConformanceResult]:
    """Check every property of an encoder; a failure that makes further checks impossible is the last.

    Args:
        encoder: a loader, or the module:Class of one.
        keys: the other keys of the dataset's file, for a class.
    """
    return list(_check_all(encoder, keys or {}))


def _check_all(encoder: str | EncoderLoader, keys: Mapping[str, Any]) -> Iterator[ConformanceResult]:
    made: list[Any] = []
    yield (first := _check("it can be made", lambda: made.append(_make_loader(encoder, keys))))
    if not first.ok:
        return
    loader: EncoderLoader = made[0]
    yield _check("it travels: hashable, and equal after a pickle", lambda: _check_pickle(loader))
    yield (second := _check("space() is stable and quick", lambda: _check_space(loader, made)))
    if not second.ok:
        return
    space: Space = made[1]
    yield (
        third := _check(
            "load() gives the towers of its `modalities`, else of a CLIP or CLAP",
            lambda: _load(loader, made),
        )
    )
    if not third.ok:
        return
    towers: Towers = made[2]
    for modality, tower in towers.items():
        for what, holds in _properties(tower, modality, space):
            yield _check(f"{modality}: {what}", holds)


def _check(what: str, find_problem: Callable[[], str | None]) -> ConformanceResult:
    try:
        return ConformanceResult(what, find_problem() or "")
    except EcholensError as error:
        return ConformanceResult(what, str(error))
    except Exception as error:
        return ConformanceResult(what, f"{type(error).__name__}: {error}")


def _make_loader(encoder: str | EncoderLoader, keys: Mapping[str, Any]) -> EncoderLoader:
    if not isinstance(encoder, str):
        return encoder
    if encoder == TOWER:
        located: Any = locate_tower(Encode(), OtherEncoder(loader=TOWER, **keys))
        keys = located.model_dump(exclude={"loader"})
    return import_loader(encoder, keys, "fp32")


def _check_pickle(loader: EncoderLoader) -> str | None:
    copy = pickle.loads(pickle.dumps(loader))  # noqa: S301 - our own bytes
    if copy != loader or hash(copy) != hash(loader):
        return "after a pickle it is another one; make it a frozen dataclass"
    return None


def _check_space(loader: EncoderLoader, made: list[Any]) -> str | None:
    space = loader.space()
    if not isinstance(space, Space):
        return f"space() gives a {type(space).__name__}, not a Space"
    start_s = time.monotonic()
    second = pickle.loads(pickle.dumps(loader)).space()  # noqa: S301 - our own bytes
    took_s = time.monotonic() - start_s
    if second != space:
        return f"a second call gives another space ({second.describe_differences(space)})"
    if took_s > _MAX_SPACE_S:
        return f"a second call takes {took_s:.1f} s; read the weights' fingerprint, not the weights"
    made.append(space)
    return None


def _load(loader: EncoderLoader, made: list[Any]) -> str | None:
    towers = loader.load()
    declared = getattr(loader, "modalities", None)
    expected = [declared] if declared is not None else list(FAMILIES.values())
    if not any(set(towers) == set(each) for each in expected) or not set(towers) <= set(MODALITIES):
        found = ", ".join(sorted(map(str, towers))) or "nothing"
        return f"it gives towers of {found}, and {_describe_towers(declared)}"
    made.append(towers)
    return None


def _describe_towers(declared: Any) -> str:
    if declared is not None:
        return f"`modalities` of the class is {declared!r}"
    return f"a class without `modalities` has those of {' or '.join(FAMILIES)}"


def _properties(
    tower: Tower, modality: Modality, space: Space
) -> Iterator[tuple[str, Callable[[], str | None]]]:
    items = make_probes(modality)
    yield (
        "pieces have a first axis, vectors are float32 and as long as the space says",
        lambda: _check_shapes(tower, items, space),
    )
    yield (
        "a vector has a direction, and different items differ",
        lambda: _check_directions(tower, items, space),
    )
    yield "the same item gives the same bits", lambda: _check_determinism(tower, items, space)
    yield "a vector does not depend on its neighbours", lambda: _check_batches(tower, items, space)
    yield "prepare() may run in threads", lambda: _check_threads(tower, items)
    if modality == "text":
        yield "any text has a vector", lambda: _check_shapes(tower, _ANY_TEXT, space)
    else:
        yield "bytes that are no media are refused", lambda: _check_refusal(tower, items[0])


def _check_shapes(tower: Tower, items: Sequence[Any], space: Space) -> str | None:
    for item in items:
        pieces = tower.prepare(item)
        if not isinstance(pieces, np.ndarray) or pieces.ndim < 2 or not len(pieces):
            return f"prepare() gives {_describe(pieces)}, not an array [pieces, ...]"
        batch = np.repeat(pieces[:1], space.batch_rows, axis=0)
        vectors = tower.forward(batch)
        expected = f"float32 {[space.batch_rows, space.dims]}"
        if _describe(vectors) != expected:
            return f"forward() gives {_describe(vectors)}, not {expected}"
        if not np.isfinite(vectors).all():
            return "forward() gives numbers that are not finite"
    return None


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {list(value.shape)}"
    return f"a {type(value).__name__}"


def _check_directions(tower: Tower, items: Sequence[Any], space: Space) -> str | None:
    unit_ND, norms_N = encode(tower, [tower.prepare(item) for item in items], space.batch_rows)
    if not (np.isfinite(norms_N) & (norms_N > 0)).all():
        return f"the lengths are {', '.join(f'{norm:g}' for norm in norms_N)}"
    cosines_NN = unit_ND @ unit_ND.T - np.eye(len(items))
    if (cosines_NN > 1 - 1e-6).any():
        return "two different items have one vector; look at the tokenizer or the preprocessing"
    return None


def _check_determinism(tower: Tower, items: Sequence[Any], space: Space) -> str | None:
    first, second = (
        encode(tower, [tower.prepare(item) for item in items], space.batch_rows)[0] for _ in range(2)
    )
    if not np.array_equal(first, second):
        return f"a second time differs by {np.abs(first - second).max():.1e}; is the net in eval mode?"
    return None


def _check_batches(tower: Tower, items: Sequence[Any], space: Space) -> str | None:
    pieces = [tower.prepare(item) for item in items]
    together_ND = encode(tower, pieces, space.batch_rows)[0]
    for how, rows in (("alone", space.batch_rows), ("in a batch of one", 1)):
        alone_ND = np.concatenate([encode(tower, [piece], rows)[0] for piece in pieces])
        if (difference := np.abs(together_ND - alone_ND).max()) > _CLOSE[space.precision]:
            return f"{how} it differs by {difference:.1e}, and {_CLOSE[space.precision]:.0e} is allowed"
    return None


def _check_threads(tower: Tower, items: Sequence[Any]) -> str | None:
    many = [item for item in items for _ in range(8)]
    one_by_one = [tower.prepare(item) for item in many]
    with ThreadPoolExecutor(8) as pool:
        at_once = list(pool.map(tower.prepare, many))
    if not all(np.array_equal(one, other) for one, other in zip(one_by_one, at_once, strict=True)):
        return "eight threads prepare something else than one does; hold a lock"
    return None


def _check_refusal(tower: Tower, media: bytes) -> str | None:
    for data in (b"", b"<html>not found</html>", media[: len(media) // 3]):
        try:
            tower.prepare(data)
        except UndecodableMediaError:
            continue
        except Exception as error:
            return f"{data[:12]!r} raises {type(error).__name__}; raise {_REFUSAL}"
        # A decoder may accept the first third of a file; none can decode the other two.
        if not media.startswith(data) or not data:
            return f"{data[:12]!r} is prepared as if it were media; raise {_REFUSAL}"
    return None


def make_probes(modality: Modality) -> Sequence[Any]:
    """Return five different items: texts, or the bytes of pictures (JPEG) or sounds (FLAC)."""
    if modality == "text":
        return _TEXTS
    return [
        _draw_picture(number) if modality == "image" else _synthesize_sound(number)
        for number in range(_PROBES)
    ]


def _draw_picture(number: int) -> bytes:
    from PIL import Image

    pixels = np.random.default_rng(number).integers(0, 255, (9, 12, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((240, 180)).save(file, "JPEG")
    return file.getvalue()


def _synthesize_sound(number: int) -> bytes:
    import soundfile

    times_T = np.arange(48_000 * (number + 1) // 2) / 48_000
    noise_T = np.random.default_rng(number).standard_normal(len(times_T))
    file = io.BytesIO()
    tone_T = 0.3 * np.sin(2 * np.pi * 220 * (number + 1) * times_T) + 0.05 * noise_T
    soundfile.write(file, tone_T, 48_000, format="FLAC")
    return file.getvalue()
