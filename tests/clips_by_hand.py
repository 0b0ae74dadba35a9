"""A dataset by hand whose clips have frames that are pictures."""

import hashlib
import io
from pathlib import Path

from PIL import Image

from pipelines.compute.child_process import use_this_process
from schemas.sample import FRAMES
from tests.by_hand import ByHand


def draw_frame(url: str, member: str) -> bytes:
    """Return a picture of one colour that a link and a frame decide."""
    colour = tuple(hashlib.sha256(f"{url} {member}".encode()).digest()[:3])
    file = io.BytesIO()
    Image.new("RGB", (80, 64), colour).save(file, "PNG")
    return file.getvalue()


class WithFrames(ByHand):
    """A dataset by hand whose frames are pictures."""

    def _fetched(self, root, shard):
        batch = super()._fetched(root, shard)
        for member in FRAMES:
            batch[member] = [draw_frame(url, member) for url in batch["media_url"]]
        return batch | {"width": [80] * len(batch["media_url"]), "height": [64] * len(batch["media_url"])}


def build_clips(folder: Path, count: int, *overrides: str) -> WithFrames:
    """Build so many clips and a picture, in shards of 20, and return the dataset."""
    made = WithFrames(folder, shard_rows=20)
    made.lists({"http://127.0.0.1/1.jpg": "a picture"}, texts=count)
    file = made.folder / "by_hand.yaml"
    media = 'media: "http://127.0.0.1/{youtube_id}_{start_s}.mp4"'
    file.write_text(file.read_text().replace("take: text", media))
    with use_this_process():
        made.build(*overrides)
    return made
