"""Vectors that come with a table: those of its captions are of one caption a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipelines.errors import ConfigError
from pipelines.source.listed.keys import VectorKeys
from pipelines.source.listed.parts import ListedVectors, open_parts
from pipelines.source.table.columns import FoundColumns, list_fields
from pipelines.source.table.files import TableFiles
from pipelines.source.table.rows import Of
from schemas.families import Modality

_MODALITIES: Mapping[Of, Modality] = {"image": "image", "video": "image", "sound": "audio", "text": "text"}


def open_table_vectors(
    keys: VectorKeys, files: TableFiles, columns: FoundColumns, of: Of, explode: Sequence[str]
) -> ListedVectors:
    """Return the vectors that come with a table.

    Args:
        keys: of the dataset's file.
        files: of the table.
        columns: which is what.
        of: what the media are.
        explode: columns whose items are captions.

    Raises:
        ConfigError: a row has several captions, and one vector of a caption.
        ListError: the vectors are missing or damaged, or not one a row.
    """
    captions = columns.captions
    if "text" in keys.list_arrays(_MODALITIES[of]) and (len(captions) != 1 or captions[0] in explode):
        raise ConfigError(
            f"list {files.urls[0]} has one vector of a caption a row and {len(captions) or 'no'} columns of "
            f"captions{' with several in a cell' if explode else ''}; name the one that the vectors are of, "
            "as in `columns: {caption: ...}`"
        )
    caption = captions[0] if len(captions) == 1 and not list_fields(captions[0]) else None
    place = files.urls[0] if len(files.urls) == 1 else files.urls[0].rpartition("/")[0]
    return open_parts(keys, files.urls, place, _MODALITIES[of], columns.url, caption)
