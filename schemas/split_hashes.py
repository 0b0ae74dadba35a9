"""splits/NNNNN.parquet: perceptual hashes of a shard's media, from which the groups of a split are found."""

from __future__ import annotations

import pyarrow as pa
from pydantic import Field

from schemas.strict import StrictModel

HASH_BYTES = 16
# What computes the hashes; a table of another rule is computed again.
RULE = "dct-128/1"

SPLIT_HASHES = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        # In hexadecimal: of the picture, or of a clip's first frame; null where nothing can be told from it.
        pa.field("picture", pa.string()),
        pa.field("middle", pa.string()),  # of the picture without its edges
        pa.field("sound", pa.string()),
    ],
    metadata={"table": "split_hashes/1", "rule": RULE},
)


class GroupCounts(StrictModel):
    """How the rows of a training were grouped before they were divided; no group is on two sides."""

    rule: str = Field(description="what makes two rows one group")
    rows: int
    groups: int
    addresses: int = Field(description="groups there would be by the address of the media alone")
    pictures: int = Field(description="rows with the hash of a picture or of a clip's first frame")
    sounds: int = Field(description="rows with the hash of a sound")
    largest: int = Field(description="rows of the largest group")
    published: dict[str, int] = Field(
        {}, description="split that the lists publish -> rows; test and validation are taken as they are"
    )
