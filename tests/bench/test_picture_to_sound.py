"""What becomes of 200 unseen pictures: how many sounds are of the right kind, by which way. Only measured.

    pytest -m bench -s --timeout 7200 tests/bench/test_picture_to_sound.py

Text prompts are the ceiling, a translator that learned nothing is the floor. Two judges that know nothing of
each other name the kind: pocket CLAP by its labels, and a net over band levels that is trained here.
"""

import hashlib
import json
import time
from pathlib import Path

import numpy as np
import pytest

from pipelines.encode.loaders.pocket import make_pocket_clap
from pipelines.evaluate.judges.encoders import EncoderJudgeSpec
from pipelines.generate.media import decode_sound, encode_sound
from pipelines.generate.output import find_card, read_rows, read_samples
from pipelines.generate.prompts import PromptTables
from pipelines.miniature import captions, world
from pipelines.miniature.media import picture_file
from pipelines.models.registry import build_net as net_of
from pipelines.report.players import render_players
from pipelines.store.root import Root
from pipelines.translate.translator import pack_weights, read_card
from schemas.training import Experiment
from tests.bench.classifier import BandLevels, at_16k
from tests.commands import SEED, build, command
from tests.saving import save_translator

pytestmark = pytest.mark.bench

ROWS, PICTURES, UNSEEN = 3_000, 200, SEED + 1
SETTINGS = ("--length-s", 5.12, "--steps", 25, "--seed", 0)
LABELS = [captions.label(kind) for kind in world.KINDS]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A world with its translators: pictures to captions' and to sounds' vectors."""
    from pipelines.miniature.server import serving

    with serving(SEED, ROWS) as base_url:
        made = build(tmp_path_factory.mktemp("heard"), ROWS, base_url).root
    # Of so many rows a few hundred are clips, and a batch is no more than the pairs there are.
    for data, batch in (("image_text", 64), ("image_audio", 16)):
        command("train", made, "--preset", "beyond", "--only", data, f"fit.batch={batch}")
    return made


@pytest.fixture(scope="module")
def scenes(root):
    """Pictures that nothing was trained on, in a folder with the captions that a list would give them."""
    folder = root / "unseen"
    folder.mkdir()
    drawn = [world.draw_heldout(UNSEEN, number) for number in range(PICTURES)]
    for number, scene in enumerate(drawn):
        (folder / f"{number:03d}.jpg").write_bytes(picture_file(scene))
        (folder / f"{number:03d}.txt").write_text(captions.caption(scene, "picture", "heldout"))
    return drawn


def best_of(root: Path, data: str) -> str:
    """Return the translator that comes nearest to the pairs held out; the 200 pictures have no say."""
    there = Root.from_url(str(root))
    cards = [read_card(there, path.parent.name) for path in root.glob(f"translators/{data}-*/card.json")]
    return max(cards, key=lambda card: card.scores.cosine).name


def save_random(root: Path, like: str) -> None:
    """Write a translator that was never trained."""
    there = Root.from_url(str(root))
    card, cell = read_card(there, like), Experiment(data="random", hidden=512)
    weights = pack_weights(net_of(cell, (card.source_space.dims, card.target_space.dims)))
    changes = {"name": "random", "cell": cell, "weights_sha256": hashlib.sha256(weights).hexdigest()}
    save_translator(there, card.model_copy(update=changes), weights)


def waves(root: Path, name: str) -> dict[int, np.ndarray]:
    """Return number of the scene -> its sound."""
    there = Root.from_url(str(root))
    shards = PromptTables(there, f"generated/{name}", 100).read_shards()
    numbers = {}
    for at, row in enumerate(read_rows(there, name, shards)):
        numbers[row["key"]] = int(Path(row["url"]).stem) if row["url"] else at
    return {
        numbers[key]: decode_sound(data)[0]
        for shard in shards
        for key, data in read_samples(there, name, shard)
    }


class ZeroShot:
    """Hears which of `LABELS` a sound is, by the nearest words of a CLAP."""

    def __init__(self, judge):
        self.judge = judge

    def listen(self, sounds, rate_hz):
        files = [encode_sound(wave_T, rate_hz, "wav") for wave_T in sounds]
        return self.judge.embed(files), self.judge.classify(files, LABELS)


def right(judge, heard: dict[int, np.ndarray], scenes) -> float:
    """Return the share of all scenes whose sound is heard as their kind."""
    _, logits_NC = judge.listen([*heard.values()], 16_000)
    best = dict(zip(heard, logits_NC.argmax(1).tolist(), strict=True))
    return sum(world.KINDS[best.get(n, -1)] == scene.kind for n, scene in enumerate(scenes)) / len(scenes)


def test_sounds_of_unseen_pictures(root, scenes):
    """A table of the ways, by both judges, with the speed of each; and a page to look at and listen to."""
    best, of_sounds = best_of(root, "image_text"), best_of(root, "image_audio")
    save_random(root, best)
    texts = [word for scene in scenes for word in ("--text", captions.caption(scene, "sound", "heldout"))]
    of_pictures = ("--images", root / "unseen")
    ways = {
        "text": texts,
        "best": ("--via", best, *of_pictures),
        "of-sounds": ("--via", of_sounds, *of_pictures),
        "best-of-four": ("--via", best, *of_pictures, "--candidates", 4),
        "captions": ("--via", "captions", *of_pictures),
        "random": ("--via", "random", *of_pictures),
    }
    clap = make_pocket_clap("fp32")
    judges = [ZeroShot(EncoderJudgeSpec("pocket CLAP", "sound", clap).open()), BandLevels(2_400)]
    real = {number: at_16k(scene) for number, scene in enumerate(scenes)}
    print(
        f"\nbest translators {best} and {of_sounds}, {len(scenes)} pictures; 95 % of a share is within 0.07"
    )
    print(f"{'way':14} {'pocket CLAP':>12} {'band levels':>12} {'seconds of sound a second':>26}")
    print(f"{'real sounds':14} {right(judges[0], real, scenes):12.3f} {right(judges[1], real, scenes):12.3f}")
    for name, given in ways.items():
        began = time.monotonic()
        card = json.loads(command("generate", root, *given, *SETTINGS, "--name", name, "--json").stdout)
        speed = card["length_s"] / (time.monotonic() - began)
        shares = [right(judge, waves(root, name), scenes) for judge in judges]
        print(f"{name:14} {shares[0]:12.3f} {shares[1]:12.3f} {speed:26.1f}")
    there = Root.from_url(str(root))
    cards = [
        card
        for name in ("best", "of-sounds", "best-of-four", "captions", "random")
        if (card := find_card(there, name))
    ]
    file = root / "reports" / "heard.html"
    file.parent.mkdir(exist_ok=True)
    file.write_text(render_players(there, 200, cards, "Unseen pictures, five ways to a sound"))
    print(f"played side by side in {file}")
    assert 5 == len(cards)
