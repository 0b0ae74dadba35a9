"""Build, search and report a small world of pictures and sounds, and hear what one of its pictures shows.

    echolens demo                  # into ./demo
    echolens demo /tmp/world --rows 2000 --seed 7

The world is drawn and served from this machine, not downloaded; the code that builds the dataset is the
code that builds yours. Its models are the pocket models: good enough for this world, and for nothing else.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from jobs.build import build
from jobs.generate import generate
from jobs.lookup import format_hits, open_current
from jobs.shared.job import load, run
from jobs.status import format_funnel, read_state
from jobs.train import format_leaderboard, read_preset, train
from pipelines.errors import ConfigError
from pipelines.store.root import Root
from schemas.dataset import Dataset
from schemas.generated import GenerationParams
from schemas.query import Query
from schemas.vectors import Column

# What the demo asks: (text, column).
QUESTIONS: tuple[tuple[str, Column], ...] = (
    ("a photo of a bell", "clip_image"),
    ("a helicopter at night", "clip_image"),
    ("the sound of a clock ticking", "clap_audio"),
    ("rain is falling", "clap_audio"),
)

_SHOWN = 4
# The few hundred pairs of such a world would be four batches of the seed's size, and are learned sooner.
_TRAINING = ("fit.batch=16", "fit.epochs=20")
_SOUND_S = 5.12  # what the pocket models know


def read_world(folder: Path, rows: int, seed: int) -> dict[str, Any]:
    """Return rows, seed and port of the world in a folder; one that is there is gone on with."""
    file = folder / "world.json"
    if not file.exists():
        return {"rows": rows, "seed": seed, "port": 0}
    there: dict[str, Any] = json.loads(file.read_text())
    if (there["rows"], there["seed"]) != (rows, seed):
        raise ConfigError(
            f"{folder} holds a world of {there['rows']} rows and seed {there['seed']}, and {rows} rows and "
            f"seed {seed} were asked for; give another folder, or remove that one"
        )
    return there


def write_dataset(folder: Path, base_url: str, rows: int, seed: int) -> Path:
    """Write the five lists of the world and the dataset file that names them; return the file."""
    from pipelines.miniature.addresses import clip_template
    from pipelines.miniature.lists import write_lists

    lists = write_lists(folder / "lists", base_url, rows, seed)
    sources: list[dict[str, Any]] = [
        {"kind": kind, "list": str(path.relative_to(folder))} for kind, path in lists.items()
    ]
    more: dict[str, dict[str, Any]] = {
        "wit": {"languages": ["en"]},
        "audiocaps": {"take": "text"},
        "vggsound": {"split": "train", "media": clip_template(base_url)},
    }
    content = {
        "name": "miniature",
        "root": "data",
        "shard_rows": 200,
        "sources": [source | more.get(source["kind"], {}) for source in sources],
        # The pictures of this world are 320 px wide: of Wikimedia's widths, the largest that they have.
        "fetch": {"allow_private_hosts": True, "wikimedia_width_px": 250},
        "encode": {"clip": "pocket", "clap": "pocket"},
    }
    file = folder / "miniature.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


def ask(dataset: Dataset, folder: Path, seed: int) -> Path:
    """Print the answers to a few questions in words, and to a picture and a sound that nobody has seen.

    Returns:
        The picture.
    """
    from pipelines.miniature.media import picture_file, sound_file
    from pipelines.miniature.world import draw

    lookup = open_current(dataset)
    for text, column in QUESTIONS:
        print(f"\nlookup --text {text!r} --in {column}")
        print(format_hits(lookup.answer(Query(text=text, into=column, k=_SHOWN)).hits))
    scene = draw(seed + 1, "heldout", 0)
    drawn, played = folder / f"{scene.kind}.jpg", folder / f"{scene.kind}.wav"
    drawn.write_bytes(picture_file(scene))
    played.write_bytes(sound_file(scene))
    print(f"\nlookup --image {drawn.name} --in clip_text")
    picture = Query(image=base64.b64encode(drawn.read_bytes()), into="clip_text", k=_SHOWN)
    print(format_hits(lookup.answer(picture).hits))
    print(f"\nlookup --audio {played.name} --in clap_audio")
    sound = Query(sound=base64.b64encode(played.read_bytes()), into="clap_audio", k=_SHOWN)
    print(format_hits(lookup.answer(sound).hits))
    return drawn


def play(dataset: Dataset, picture: Path) -> Path:
    """Train the translator that the first seed shipped, make a picture sound, and say what it is heard as.

    Returns:
        The sound, beside the picture.
    """
    from pipelines.generate.output import read_sounds
    from pipelines.generate.prompts import PromptTables
    from pipelines.generate.request import GenerationRequest
    from pipelines.generate.step import get_folder

    training = read_preset("shipped", _TRAINING)
    print(f"\ntrain --preset {training.name}")
    cards = train(dataset, training, [*training.data])
    print(format_leaderboard(cards))
    via = next(card.name for card in cards if card.cell)
    name = picture.stem
    print(f"\ngenerate --via {via} --column clip_image --images {picture.name}")
    making = GenerationParams(length_s=_SOUND_S)
    order = GenerationRequest(name, via, "clip_image", pictures=(str(picture),), making=making)
    made = generate(dataset, order)
    root = Root.from_url(dataset.root)
    shards = PromptTables(root, get_folder(name), order.making.shard_sounds).read_shards()
    assert shards is not None
    ((_, sound),) = read_sounds(root, name, shards[0])
    heard = picture.with_name(f"{name}-generated.{made.wanted.making.format}")
    heard.write_bytes(sound)
    print(f"\nlookup --audio {heard.name} --in clap_text")
    query = Query(sound=base64.b64encode(sound), into="clap_text", k=_SHOWN)
    print(format_hits(open_current(dataset).answer(query).hits))
    return heard


def run_demo(folder: Path, here: dict[str, Any]) -> None:
    """Do what the demo shows with a world in a folder."""
    from jobs.report import write_report
    from pipelines.miniature.server import serving

    with serving(here["seed"], here["rows"], port=here["port"]) as base_url:
        file = folder / "miniature.yaml"
        if not here["port"]:
            file = write_dataset(folder, base_url, here["rows"], here["seed"])
            here["port"] = int(base_url.rpartition(":")[2])
            (folder / "world.json").write_text(json.dumps(here))
        dataset = load(str(file))
        build(dataset)
    root = Root.from_url(dataset.root)
    print(format_funnel(read_state(root, dataset.encode.set)))
    picture = ask(dataset, folder, here["seed"])
    heard = play(dataset, picture)
    report = write_report(dataset)
    print(f"\ndataset  {file}\nroot     {root.url}\nreport   {report}\npicture  {picture}\nsound    {heard}")
    print(f'\nTry next: {sys.argv[0]} lookup {root.url} --text "a cat meowing" --in clap_audio')


def main(argv: Sequence[str]) -> None:
    """Make the world, build its dataset, ask it, make a sound of a picture, write its report."""
    parser = argparse.ArgumentParser(
        prog="echolens demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", default="demo", type=Path, help="where to; ./demo if not given")
    parser.add_argument("--rows", type=int, default=600, help="rows of the five lists, 200 to 100,000")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn")
    asked = parser.parse_args(argv)
    folder: Path = asked.folder.resolve()
    if not 200 <= asked.rows <= 100_000 or asked.seed < 0:
        raise ConfigError(
            f"--rows {asked.rows} --seed {asked.seed} is no world; give 200 to 100,000 rows and a seed from 0"
        )
    Root.from_url(str(folder)).check()

    from pipelines.run.ray_plan import Session

    # One Ray for all that needs it.
    with Session():
        run_demo(folder, read_world(folder, asked.rows, asked.seed))


if __name__ == "__main__":
    run(main)
