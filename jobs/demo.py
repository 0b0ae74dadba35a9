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

from jobs.lookup import format_hits, open_current
from jobs.report import write_report
from jobs.shared.dataset_build import build
from jobs.shared.funnel import format_funnel, read_state
from jobs.shared.generation import generate
from jobs.shared.job import load, run
from jobs.shared.leaderboard import format_leaderboard
from jobs.shared.presets import read_preset
from jobs.shared.training import train_translators
from pipelines.errors import ConfigError
from pipelines.store.root import Root
from schemas.dataset import Dataset
from schemas.families import Column
from schemas.query import Query
from schemas.training import TrainingPreset

# The queries of the demo: (text, column).
QUESTIONS: tuple[tuple[str, Column], ...] = (
    ("a photo of a bell", "clip_image"),
    ("a helicopter at night", "clip_image"),
    ("the sound of the sea", "clap_audio"),
    ("a fire is crackling", "clap_audio"),
)

_SHOWN = 4
# The few hundred pairs of such a world are four batches of the default size, and need fewer epochs.
_TRAINING = ("fit.batch=16", "fit.epochs=20")
_SOUND_S = 5.12  # the length that the pocket models were trained on


def read_world(folder: Path, rows: int, seed: int) -> dict[str, Any]:
    """Return rows, seed and port of the world in a folder; an existing one is resumed."""
    file = folder / "world.json"
    if not file.exists():
        return {"rows": rows, "seed": seed, "port": 0}
    stored: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if (stored["rows"], stored["seed"]) != (rows, seed):
        raise ConfigError(
            f"{folder} holds a world of {stored['rows']} rows and seed {stored['seed']}, and {rows} rows and "
            f"seed {seed} were asked for; give another folder, or remove that one"
        )
    return stored


def write_dataset(folder: Path, base_url: str, rows: int, seed: int) -> Path:
    """Write the five lists of the world and the dataset file that names them; return the file."""
    from pipelines.miniature.addresses import clip_template
    from pipelines.miniature.lists import write_lists

    lists = write_lists(folder / "lists", base_url, rows, seed)
    sources: list[dict[str, Any]] = [
        {"kind": kind, "list": str(path.relative_to(folder))} for kind, path in lists.items()
    ]
    options: dict[str, dict[str, Any]] = {
        "wit": {"languages": ["en"]},
        "audiocaps": {"take": "text"},
        "vggsound": {"split": "train", "media": clip_template(base_url)},
    }
    content = {
        "name": "miniature",
        "root": "data",
        "shard_rows": 200,
        "sources": [source | options.get(source["kind"], {}) for source in sources],
        # The pictures of this world are 320 px wide: of Wikimedia's widths, the largest that they have.
        "fetch": {"allow_private_hosts": True, "wikimedia_width_px": 250},
        "encode": {"clip": "pocket", "clap": "pocket"},
    }
    file = folder / "miniature.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return file


def ask(dataset: Dataset, folder: Path, seed: int) -> Path:
    """Print the hits of a few texts, of a picture and of a sound; no list has their combinations.

    Returns:
        The picture.
    """
    from pipelines.miniature.media import picture_file, sound_file
    from pipelines.miniature.world import draw_heldout

    lookup = open_current(dataset)
    for text, column in QUESTIONS:
        print(f"\nlookup --text {text!r} --in {column}")
        print(format_hits(lookup.answer(Query(text=text, into=column, k=_SHOWN)).hits))
    scene = draw_heldout(seed + 1, 0)
    picture_path, sound_path = folder / f"{scene.kind}.jpg", folder / f"{scene.kind}.wav"
    picture_path.write_bytes(picture_file(scene))
    sound_path.write_bytes(sound_file(scene))
    print(f"\nlookup --image {picture_path.name} --in clip_text")
    picture = Query(image=base64.b64encode(picture_path.read_bytes()), into="clip_text", k=_SHOWN)
    print(format_hits(lookup.answer(picture).hits))
    print(f"\nlookup --audio {sound_path.name} --in clap_audio")
    sound = Query(sound=base64.b64encode(sound_path.read_bytes()), into="clap_audio", k=_SHOWN)
    print(format_hits(lookup.answer(sound).hits))
    return picture_path


def play(dataset: Dataset, picture: Path) -> Path:
    """Train the shipped translator, generate a sound of a picture, and print the captions nearest to it.

    Returns:
        The sound, beside the picture.
    """
    from pipelines.generate.output import read_samples
    from pipelines.generate.prompts import PromptTables
    from pipelines.generate.request import GenerationRequest
    from pipelines.generate.step import get_folder

    training = read_preset("shipped", _TRAINING)
    assert isinstance(training, TrainingPreset)
    print(f"\ntrain --preset {training.name}")
    cards = train_translators(dataset, training, [*training.data])
    print(format_leaderboard(cards))
    via = next(card.name for card in cards if card.cell)
    name = picture.stem
    print(f"\ngenerate --via {via} --column clip_image --images {picture.name}")
    params = {"length_s": _SOUND_S}
    request = GenerationRequest(name, via, "clip_image", pictures=(str(picture),), params=params)
    card = generate(dataset, request)
    root = Root.from_dataset(dataset)
    shards = PromptTables(root, get_folder(name), request.settings.shard_samples).read_shards()
    assert shards is not None
    ((_, sound),) = read_samples(root, name, shards[0])
    generated = picture.with_name(f"{name}-generated.{card.wanted.settings.format}")
    generated.write_bytes(sound)
    print(f"\nlookup --audio {generated.name} --in clap_text")
    query = Query(sound=base64.b64encode(sound), into="clap_text", k=_SHOWN)
    print(format_hits(open_current(dataset).answer(query).hits))
    return generated


def run_demo(folder: Path, world: dict[str, Any]) -> None:
    """Run the verbs that the demo shows, on the world in a folder."""
    from pipelines.miniature.server import serving

    with serving(world["seed"], world["rows"], port=world["port"]) as base_url:
        file = folder / "miniature.yaml"
        if not world["port"]:
            file = write_dataset(folder, base_url, world["rows"], world["seed"])
            world["port"] = int(base_url.rpartition(":")[2])
            (folder / "world.json").write_text(json.dumps(world), encoding="utf-8")
        dataset = load(str(file))
        build(dataset)
    root = Root.from_dataset(dataset)
    print(format_funnel(read_state(root, dataset.encode.set)))
    picture = ask(dataset, folder, world["seed"])
    sound = play(dataset, picture)
    report = write_report(dataset)
    print(f"\ndataset  {file}\nroot     {root.url}\nreport   {report}\npicture  {picture}\nsound    {sound}")
    print(f'\nTry next: {sys.argv[0]} lookup {root.url} --text "a cat meowing" --in clap_audio')


def main(argv: Sequence[str]) -> None:
    """Make the world, build its dataset, search it, generate a sound of a picture, write its report."""
    parser = argparse.ArgumentParser(
        prog="echolens demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", default="demo", type=Path, help="where to; ./demo if not given")
    parser.add_argument("--rows", type=int, default=600, help="rows of the five lists, 200 to 100,000")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn")
    args = parser.parse_args(argv)
    folder: Path = args.folder.resolve()
    if not 200 <= args.rows <= 100_000 or args.seed < 0:
        raise ConfigError(
            f"--rows {args.rows} --seed {args.seed} is no world; give 200 to 100,000 rows and a seed from 0"
        )
    Root.from_url(str(folder)).check()

    from pipelines.run.ray_plan import Session

    # One Ray for all verbs.
    with Session():
        run_demo(folder, read_world(folder, args.rows, args.seed))


if __name__ == "__main__":
    run(main)
