"""Generated pictures on one sheet: those of a sound in a row, else as many as fit beside each other."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import ConfigError
from schemas.generated import GeneratedCard

if TYPE_CHECKING:
    from pipelines.store.root import Root

_GAP_PX = 4
# Of a sheet: a page of pictures, which an image viewer still opens.
_MOST = 400


def write_sheet(root: Root, card: GeneratedCard, file: Path) -> None:
    """Write all pictures of a NAME into one PNG, in the order of their prompts.

    Args:
        root: of the dataset.
        card: of the samples.
        file: to write.

    Raises:
        ConfigError: the samples are no pictures, or too many.
    """
    import numpy as np
    from PIL import Image

    from pipelines.generate.media import decode_picture
    from pipelines.generate.output import read_samples
    from pipelines.store.shards import Shard

    wanted = card.wanted
    if wanted.generator.medium != "picture":
        raise ConfigError(
            f"--sheet lays pictures out, and these are {wanted.generator.medium}s; leave it out"
        )
    if not 0 < card.samples <= _MOST:
        raise ConfigError(
            f"--sheet lays out 1 to {_MOST} pictures, and there are {card.samples}; leave it out"
        )
    shards = [Shard(number, "clip", "local", 0) for number in range(card.shards)]
    pictures = [decode_picture(data) for each in shards for _, data in read_samples(root, wanted.name, each)]
    texts, sounds = wanted.asked.texts, wanted.asked.sounds
    columns = len(texts) if texts and sounds else math.ceil(math.sqrt(len(pictures)))
    height, width = pictures[0].shape[:2]
    rows = math.ceil(len(pictures) / columns)
    sheet = np.full((rows * (height + _GAP_PX), columns * (width + _GAP_PX), 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        top, left = row * (height + _GAP_PX), column * (width + _GAP_PX)
        sheet[top : top + height, left : left + width] = picture
    Image.fromarray(sheet).save(file, "PNG")
