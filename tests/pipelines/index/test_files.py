import hashlib
import re

import numpy as np
import pytest

from pipelines.errors import StorageError
from pipelines.index.build import build_index
from pipelines.index.files import map_index, read_index
from schemas.dataset import Index
from schemas.index_card import IndexCard


def test_card_and_file_agree(stored, gone, drawn):
    """The card lies beside the index with its size and sha256, and nothing else does."""
    root, shards = stored(clip_image=drawn(10), clip_text=drawn(10, seed=1))

    card = build_index(root, "main", "clip_text", shards, gone(), Index(), 12)

    data = root.read("indices/main/0012/clip_text.faiss")
    assert ["clip_text.faiss", "clip_text.json"] == root.list_names("indices/main/0012")
    assert card == IndexCard.model_validate_json(root.read("indices/main/0012/clip_text.json"))
    assert (len(data), hashlib.sha256(data).hexdigest()) == (card.bytes, card.sha256)


def test_a_shortfall_is_one_sentence(stored, gone, drawn):
    """What was found, what was wanted, what to do."""
    root, shards = stored(clip_image=drawn(1500))

    card = build_index(root, "main", "clip_image", shards, gone(), Index(memory="50KB", recall=0.99), 1)

    said = rf"index of clip_image finds 0\.\d+ of the ten nearest .*\({card.factory}, {card.nprobe} lists"
    assert re.search(
        rf"{said} a query\) and 0\.99 was wanted; give index\.memory more$", card.describe_shortfall()
    )


@pytest.mark.parametrize("harm", ["none", "missing", "cut", "no-card", "another-byte"])
def test_a_damaged_index_is_not_read(stored, gone, drawn, harm):
    """An index is read whole or not at all, and so is its card."""
    root, shards = stored(clip_image=drawn(10))
    card = build_index(root, "main", "clip_image", shards, gone(), Index(), 1)
    path = "indices/main/0001/clip_image"
    data = root.read(f"{path}.faiss")
    changed = {"cut": data[:-1], "another-byte": data[:-1] + bytes([data[-1] ^ 1])}
    if harm in changed:
        root.write(f"{path}.faiss", changed[harm])
    elif harm != "none":
        root.remove(f"{path}.{'faiss' if harm == 'missing' else 'json'}")

    found = read_index(root, path)

    assert (harm == "none") == bool(found)
    if found:
        assert (10, card) == (found[0].ntotal, found[1])


def test_a_mapped_index_is_the_one_of_its_card(stored, gone, drawn):
    """It finds what was put in; one of another size is refused with both sizes."""
    root, shards = stored(clip_image=drawn(10))
    card = build_index(root, "main", "clip_image", shards, gone(), Index(), 1)
    name = "indices/main/0001/clip_image.faiss"

    _, keys = map_index(root, name, card).search(drawn(10)[3:4], 1)
    np.testing.assert_array_equal([[3]], keys)
    with pytest.raises(StorageError, match=rf"{name} has {card.bytes} bytes, but its card says 1; take"):
        map_index(root, name, card.model_copy(update={"bytes": 1}))
