import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.commands import echolens, status

FOLDERS = {"clip": ("img_emb", "text_emb"), "clap": ("audio_emb", "text_emb")}


@pytest.mark.parametrize("family", FOLDERS)
def test_a_world_goes_out(built, tmp_path, family):
    """Every row that has both vectors and is not gone is there, as unit vectors in float16."""
    into = tmp_path / "out"
    ended = echolens("export", built.root, "--to", "clip-retrieval", into, "--family", family)

    metadata = pq.read_table(into / "metadata/metadata_0.parquet")
    assert f"{metadata.num_rows} rows in 1 parts in {into}" in ended.stdout
    gone = pq.read_table(built.root / "versions/0001.tombstones.parquet")["key"].to_pylist()
    assert not set(gone) & set(metadata["image_path"].to_pylist())
    for folder in FOLDERS[family]:
        vectors_ND = np.load(into / folder / f"{folder}_0.npy")
        assert (metadata.num_rows, np.float16) == (len(vectors_ND), vectors_ND.dtype)
        np.testing.assert_allclose(1, np.linalg.norm(vectors_ND.astype(np.float32), axis=1), atol=2e-3)
    vectors = status(built.root)["vectors"]
    assert 0 < metadata.num_rows <= min(vectors["clip_image" if family == "clip" else "clap_audio"], 600)


def test_nothing_is_overwritten(built, tmp_path):
    """A second export into one folder is refused in a sentence."""
    (tmp_path / "mine").write_text("mine")
    ended = echolens("export", built.root, "--to", "clip-retrieval", tmp_path, check=False)

    assert 1 == ended.returncode
    assert "is there already and nothing is overwritten; name another folder" in ended.stderr
