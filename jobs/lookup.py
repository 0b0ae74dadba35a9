"""The nearest neighbours of a text, a picture or a sound.

echolens lookup /data/animals --text "a dog barking" --in clap_audio
echolens lookup /data/animals --image dog.jpg --k 5
echolens lookup /data/animals --audio bark.wav --json
echolens lookup /data/animals --text "a bell" --set other
echolens lookup /data/animals --image dog.jpg --in clap_audio --via wit_cc-mlp-cosine-h512
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.job import load, run
from pipelines.errors import ConfigError
from pipelines.pin import in_set
from pipelines.storage import Root
from schemas.dataset import Dataset
from schemas.vectors import COLUMNS

if TYPE_CHECKING:
    from pipelines.lookup.search import Hit, Lookup
    from pipelines.translate.translator import Translator

_CAPTION_SHOWN = 60


def shown(hits: Sequence[Hit]) -> str:
    """Return hits as lines: score, key, caption, source and link."""
    return "\n".join(
        f"  {hit.score:.3f}  {hit.key}  {hit.caption[:_CAPTION_SHOWN]:<{_CAPTION_SHOWN}}  {hit.source:<10}"
        f" {hit.url}"
        for hit in hits
    )


def current(dataset: Dataset) -> Lookup:
    """Return the lookup of the current version of a dataset's set of vectors."""
    from pipelines import versions
    from pipelines.lookup.search import Lookup

    root = Root.at(dataset.root)
    return Lookup.open(root, dataset, versions.of_set(root, dataset.encode.set))


def search(lookup: Lookup, asked: argparse.Namespace, via: Translator | None) -> Sequence[Hit]:
    """Return the hits of whichever query was given; a translator's own target is searched by default."""
    beyond = via.card.target if via else None
    if asked.text is not None:
        return lookup.by_text(asked.text, asked.column or beyond or "clip_image", asked.k, via)
    path: Path = asked.image or asked.audio
    if not path.is_file():
        raise ConfigError(f"{path} is not a file; give a picture or a sound of this machine")
    if asked.image:
        return lookup.by_picture(path.read_bytes(), asked.column or beyond or "clip_image", asked.k, via)
    return lookup.by_sound(path.read_bytes(), asked.column or beyond or "clap_audio", asked.k, via)


def main(argv: Sequence[str]) -> None:
    """Search a column of the current version."""
    parser = argparse.ArgumentParser(
        prog="echolens lookup", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", metavar="ROOT|FILE", help="folder or URL of a dataset, or its file")
    query = parser.add_mutually_exclusive_group(required=True)
    query.add_argument("--text", help="words")
    query.add_argument("--image", type=Path, help="a picture file")
    query.add_argument("--audio", type=Path, help="a sound file")
    parser.add_argument(
        "--in",
        dest="column",
        choices=COLUMNS,
        help="the column to search; clip_image for words and pictures, clap_audio for sounds",
    )
    parser.add_argument("--via", metavar="TRANSLATOR", help="cross from one space to the other with it")
    parser.add_argument("--set", help="the set of vectors to search; that of the newest build if not given")
    parser.add_argument("--k", type=int, default=10, help="how many; 10 if not given")
    parser.add_argument("--json", action="store_true", help="print a list of objects")
    asked = parser.parse_args(argv)

    dataset = load(asked.target)
    dataset = in_set(Root.at(dataset.root), dataset, asked.set)
    via: Translator | None = None
    if asked.via:
        from pipelines.translate.translator import Translator

        via = Translator.open(Root.at(dataset.root), asked.via)
    hits = search(current(dataset), asked, via)
    print(json.dumps([asdict(hit) for hit in hits], indent=2) if asked.json else shown(hits))


if __name__ == "__main__":
    run(main)
