"""What a root is counted and told apart by."""

import pytest

from pipelines.store.counts import compute_digest
from pipelines.store.root import Root

NAMES = (
    "candidates/00000.parquet",
    "media/00000.parquet",
    "media/00000.tar",
    "vectors/main/00000.parquet",
    "vectors/main/00000.tar",
    "vectors/other/00000.parquet",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_digest_is_of_every_file(tmp_path, name):
    """Other bytes, another name or a file fewer of candidates, media or any set: another digest."""
    root = Root.from_url(str(tmp_path))
    for each in NAMES:
        root.write(each, b"one")
    digests = {compute_digest(root, ["main", "other"])}
    root.write(name, b"two")
    digests.add(compute_digest(root, ["main", "other"]))
    root.remove(name)
    digests.add(compute_digest(root, ["main", "other"]))
    root.write(name.replace("00000", "00001"), b"one")
    digests.add(compute_digest(root, ["main", "other"]))

    assert 4 == len(digests)
