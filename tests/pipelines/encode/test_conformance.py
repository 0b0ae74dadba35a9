import hashlib
import io
import re
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest

from pipelines.encode.conformance import check
from pipelines.encode.loaders.custom import CustomEncoder, CustomTower
from pipelines.encode.loaders.transformers_clap import TransformersClap
from pipelines.encode.loaders.transformers_clip import TransformersClip
from pipelines.errors import UndecodableMediaError


def picture(data):
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as opened:
            return np.asarray(opened.convert("RGB").resize((4, 4)), np.float32).reshape(1, 48) / 255
    except OSError as error:
        raise UndecodableMediaError("undecodable") from error


def letters(text):
    digest = hashlib.sha256(text.encode()).digest() + hashlib.sha256(text[::-1].encode()).digest()
    return np.frombuffer(digest, np.uint8)[None, :48].astype(np.float32) / 255


def net(pieces_B):
    return np.asarray(pieces_B[:, :48] @ np.linspace(-1, 1, 48 * 6).reshape(48, 6), np.float32)


@dataclass(frozen=True)
class Mine(CustomEncoder):
    """Ten lines: what a person adds."""

    bias: float = 0.0
    dims = 6
    preprocessing = "image: RGB, 4x4; text: hashed"

    def load(self):
        return {"image": CustomTower(picture, net), "text": CustomTower(letters, net)}


def test_ten_lines_are_an_encoder():
    """Nothing is wrong with an encoder of two functions a tower."""
    findings = check(Mine())

    assert [] == [finding for finding in findings if not finding.ok]
    assert {"image", "text"} <= {finding.what.partition(":")[0] for finding in findings}


@pytest.mark.parametrize("name", ["clip", "siglip", "clap"])
def test_the_shipped_loaders_pass(clip_models, tiny_clap, name):
    """What is asked of others holds of ours."""
    loader = (
        TransformersClap(str(tiny_clap), None, "fp32", 4)
        if name == "clap"
        else TransformersClip(str(clip_models[name]), None, "fp32", 4)
    )

    assert [] == [finding for finding in check(loader) if not finding.ok]


drawn = np.random.default_rng(0)

# What a person may get wrong -> the tower, what takes the place of its functions, and the property it breaks.
FAULTS = {
    "dims": ("image", {"forward": lambda pieces_B: net(pieces_B)[:, :5]}, "as long as the space"),
    "float64": ("image", {"forward": lambda pieces_B: net(pieces_B).astype(float)}, "are float32"),
    "nan": ("image", {"forward": lambda pieces_B: net(pieces_B) * np.nan}, "has a direction"),
    "no-pieces": ("text", {"prepare": lambda text: letters(text)[0]}, "a first axis"),
    "no-vocabulary": ("text", {"prepare": lambda _: letters("a")}, "different items differ"),
    "zeros": ("text", {"forward": lambda pieces_B: 0 * net(pieces_B)}, "has a direction"),
    "random": (
        "image",
        {"forward": lambda pieces_B: net(pieces_B + drawn.uniform(size=pieces_B.shape))},
        "the same bits",
    ),
    "batch-norm": (
        "text",
        {"forward": lambda pieces_B: net(pieces_B) - net(pieces_B).mean(axis=0) / 2},
        "its neighbours",
    ),
    "html": (
        "image",
        {"prepare": lambda data: letters("") if b"<html>" in data else picture(data)},
        "are refused",
    ),
    "an-empty-text": ("text", {"prepare": lambda text: letters(text) if text else 1 / 0}, "any text"),
}


@dataclass(frozen=True)
class Faulty(Mine):
    fault: str = ""

    def load(self):
        part, functions, _ = FAULTS[self.fault]
        towers = super().load()
        whole = {"prepare": towers[part].prepare, "forward": towers[part].forward} | functions
        return towers | {part: CustomTower(**whole)}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_found(fault):
    """Each fault is found by the property that it breaks."""
    part, _, what = FAULTS[fault]

    wrong = [finding.what for finding in check(Faulty(fault=fault)) if not finding.ok]

    assert [] != [found for found in wrong if found.startswith(part) and what in found]
    assert [] == [found for found in wrong if not found.startswith(part)]


@dataclass(frozen=True)
class Listed(Mine):
    layers: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Restless(Mine):
    calls: ClassVar[list[int]] = []

    def space(self):
        self.calls.append(1)
        return super().space().model_copy(update={"library": f"mine {len(self.calls)}"})


@dataclass(frozen=True)
class Deaf(Mine):
    def load(self):
        return {"text": CustomTower(letters, net)}


@pytest.mark.parametrize(
    ("encoder", "what", "wrong"),
    [
        pytest.param("no_such_module:Mine", "made", "no module 'no_such_module'.*PYTHONPATH", id="module"),
        pytest.param(
            "pipelines.encode.loaders.custom:Mine",
            "made",
            "no 'Mine' in pipelines.encode.loaders.custom",
            id="class",
        ),
        pytest.param(Listed(), "travels", "unhashable", id="unhashable"),
        pytest.param(Restless(), "stable", "another space .library", id="unstable"),
        pytest.param(Deaf(), "towers of", "towers of text", id="one-tower"),
    ],
)
def test_what_hides_the_rest_is_found_first(encoder, what, wrong):
    """The last finding says what stopped the kit."""
    findings = check(encoder)
    last = findings[1] if isinstance(encoder, Listed) else findings[-1]

    assert what in last.what
    assert re.search(wrong, last.wrong)


def test_a_tower_is_named_as_in_a_file():
    """By what ships; a name alone is a model of a root, and here is none."""
    (unknown,) = check("tower", {"weights": "eye"})

    assert [] == [result for result in check("tower", {"weights": "pocket"}) if not result.ok]
    assert "tower 'eye' is a model of a root, and none is given; name a folder" in unknown.wrong
