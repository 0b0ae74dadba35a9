"""generated/NAME/captions.parquet: captions that a generator of texts wrote, by the keys of their rows."""

from __future__ import annotations

import pyarrow as pa

MACHINE_CAPTIONS = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),  # of the dataset's row; of a prompt that is no row
        pa.field("url", pa.string(), nullable=False),
        pa.field("caption", pa.string(), nullable=False),
        pa.field("score", pa.float32()),  # cosine of caption and media; null without a judge
        pa.field("written_by", pa.string(), nullable=False),  # the generator: no caption of a list has one
        pa.field("written_by_sha256", pa.string(), nullable=False),
    ],
    metadata={"table": "machine_captions/1"},
)
