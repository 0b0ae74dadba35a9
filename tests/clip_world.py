"""A small dataset of clips and pictures on this machine: without a server, all are there on a slow day."""

import csv
from pathlib import Path

import yaml

from pipelines.miniature import captions
from pipelines.miniature.clips import clip
from pipelines.miniature.media import picture_file
from pipelines.miniature.world import draw_crossing, draw_heldout

CLIPS, TESTED, PICTURES = 24, 6, 24
LENGTH_S = 3.0


def write_clip_world(folder: Path) -> Path:
    """Write clips, of which six are named test, pictures with captions, lists, and the dataset's file."""
    clips, pictures = folder / "clips", folder / "pictures"
    clips.mkdir()
    pictures.mkdir()
    rows = []
    for number in range(CLIPS + TESTED):
        tested = number >= CLIPS
        scene = draw_heldout(0, number) if tested else draw_crossing("crossing", 0, "train", number)
        name = f"clip{number:07d}"
        rows.append([name, 0, captions.label(scene.kind), "test" if tested else "train"])
        (clips / f"{name}_000000.mp4").write_bytes(clip(scene, length_s=LENGTH_S))
    with (folder / "vggsound.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    told = [["file_name", "text"]]
    for number in range(PICTURES):
        scene = draw_crossing("crossing", 1, "train", number)
        (pictures / f"{number}.jpg").write_bytes(picture_file(scene))
        told.append([f"{number}.jpg", captions.caption(scene, "picture", "train")])
    with (pictures / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows(told)
    template = f"file://{clips}/{{youtube_id}}_{{start_s:06d}}.mp4"
    content = {
        "name": "clips",
        "root": str(folder / "data"),
        "shard_rows": 12,
        "sources": [
            {"kind": "vggsound", "list": str(folder / "vggsound.csv"), "media": template},
            {"kind": "folder", "list": str(pictures)},
        ],
        "encode": {"clip": "pocket", "clap": "pocket"},
    }
    (folder / "clips.yaml").write_text(yaml.safe_dump(content))
    return folder / "clips.yaml"
