"""Vectors that come with a list: opened, checked and taken row by row."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.encode.resolve import resolve
from pipelines.encode.space_check import CAPTIONS, encode_captions
from pipelines.errors import ConfigError, ListError, SpaceError
from pipelines.source.listed.choice import find_listed_set, make_named_space
from pipelines.source.listed.stage import TakeListedVectors
from pipelines.source.registry import make_lists
from schemas.dataset import Dataset
from schemas.encoders import Encode

DIMS = 6
POCKET = {"set": "own", "clip": "pocket", "clap": None}
NPZ = {"npz": {"image": "l14_img", "text": "l14_txt"}, "space": "openai ViT-L-14"}


def make_vectors(rows, seed=0, dims=DIMS):
    return np.random.default_rng(seed).normal(size=(rows, dims)).astype(np.float16)


def write_part(folder, number, rows=4, **arrays):
    """Write a file of a list as DataComp hands them out, with the npz beside it."""
    columns = {
        "uid": [f"{number}-{row}" for row in range(rows)],
        "url": [f"http://a.example/{number}-{row}.jpg" for row in range(rows)],
        "text": [f"text {number} {row}" for row in range(rows)],
    }
    pq.write_table(pa.table(columns), folder / f"{number:02d}.parquet")
    arrays = arrays or {"l14_img": make_vectors(rows, number), "l14_txt": make_vectors(rows, 100 + number)}
    np.savez(folder / f"{number:02d}.npz", **arrays)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "list").mkdir()
    return tmp_path / "list"


def make_dataset(folder, vectors, encode=None, **keys):
    source = {"kind": "table", "preset": "datacomp", "list": str(folder), "vectors": vectors} | keys
    content = {"name": "a", "root": str(folder.parent / "root"), "sources": [source]}
    return Dataset.model_validate(content | ({"encode": encode} if encode else {}))


def take(dataset, numbers, urls):
    listed = find_listed_set(dataset, {})
    batch = {"source_row": numbers, "url": urls, "outcome": ["ok"] * len(urls), "reason": [""] * len(urls)}
    return TakeListedVectors(listed).open()(batch)


def test_rows_get_the_vectors_of_their_file(folder):
    """Over several files, in any order, as unit vectors beside the norms of the list's."""
    write_part(folder, 0, rows=4)
    write_part(folder, 1, rows=3)
    numbers = [5, 0, 3, 4]
    taken = take(
        make_dataset(folder, NPZ),
        numbers,
        [f"http://a.example/{number // 4}-{number % 4}.jpg" for number in numbers],
    )

    raw = np.concatenate([make_vectors(4, 0), make_vectors(3, 1)])[numbers].astype(np.float64)
    norms = np.linalg.norm(raw, axis=1)
    assert ["ok"] * 4 == taken["outcome"]
    assert np.array_equal((raw / norms[:, None]).astype(np.float16), np.stack(taken["listed_image"]))
    assert np.allclose(norms, taken["listed_image_norm"], rtol=1e-6)
    texts = np.concatenate([make_vectors(4, 100), make_vectors(3, 101)])[numbers].astype(np.float64)
    assert 1 == pytest.approx(float(texts[1] @ taken["listed_text"][1]) / np.linalg.norm(texts[1]), abs=1e-3)


def test_vectors_that_are_none_are_outcomes(folder):
    """NaN, infinity and zeros of an array; of a column also null, and those of another length."""
    vectors = make_vectors(4)
    vectors[0, 1], vectors[1, 0], vectors[2] = np.nan, np.inf, 0
    write_part(folder, 0, l14_img=vectors)
    urls = [f"http://a.example/0-{row}.jpg" for row in range(4)]
    taken = take(make_dataset(folder, {"npz": "l14_img", "space": "x"}), [*range(4)], urls)

    assert ["not_finite", "not_finite", "no_vector", ""] == taken["reason"]
    assert [True, True, True, False] == [each is None for each in taken["listed_image"]]

    cells = [[1.0, 2.0], None, [1.0], [0.0, 0.0], [np.nan, 1.0], [1.0, None], [3.0, 4.0], [1.0, 2.0, 3.0]]
    table = {"url": [f"http://a.example/{row}.jpg" for row in range(8)], "text": ["a"] * 8, "uid": ["a"] * 8}
    for kind in (pa.list_(pa.float32()), pa.large_list(pa.float64())):
        pq.write_table(pa.table(table | {"emb": pa.array(cells, kind)}), folder / "00.parquet")
        taken = take(
            make_dataset(folder, {"column": "emb", "space": "x"}, preset=None), [*range(8)], table["url"]
        )
        wanted = ["", "no_vector", "vector_size", "no_vector", "not_finite", "not_finite", "", "vector_size"]
        assert wanted == taken["reason"]
        assert ["ok", "invalid"] == [taken["outcome"][0], taken["outcome"][1]]
        assert [0.6, 0.8] == pytest.approx(taken["listed_image"][6].tolist(), abs=1e-3)


def test_a_list_that_changed_is_one_sentence(folder):
    """Rows that moved, rows that are gone, vectors that no longer fit."""
    write_part(folder, 0)
    dataset = make_dataset(folder, NPZ)
    with pytest.raises(ListError, match="has changed since it was planned: its row 1 is of another URL"):
        take(dataset, [1], ["http://a.example/0-2.jpg"])
    with pytest.raises(ListError, match="has changed since it was planned: it has 4 rows, and one was 9"):
        take(dataset, [9], ["http://a.example/0-2.jpg"])
    work = TakeListedVectors(find_listed_set(dataset, {})).open()
    write_part(folder, 0, rows=5)
    with pytest.raises(ListError, match=r"has changed since .*00\.npz has other rows; .*echolens refresh"):
        work({"source_row": [0], "url": ["http://a.example/0-0.jpg"], "outcome": ["ok"], "reason": [""]})


# Keys of `vectors`, and what is said of them.
WRONG = {
    "both": ({"npz": "a", "column": "b", "space": "x"}, "one of `npz` and `column`"),
    "neither": ({"space": "x"}, "one of `npz` and `column`"),
    "no-space": ({"npz": "a"}, "space.* is missing; add it"),
    "control": ({"npz": "a", "space": "x\ny"}, "space"),
    "no-such-array": ({"npz": "b32_img", "space": "x"}, "no array 'b32_img'; name one that it has: l14_img"),
    "no-such-column": ({"column": "emb", "space": "x"}, "no column 'emb' of vectors; name one"),
    "text-column": ({"column": "text", "space": "x"}, "is of string; name one of lists"),
    "claims-nothing": ({"npz": "l14_img", "space": "clip"}, "names encode.clip, and there is none"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_keys_are_one_sentence(folder, case):
    """What was found, and what to do."""
    write_part(folder, 0)
    vectors, said = WRONG[case]
    with pytest.raises((ConfigError, ListError), match=said) as error:
        find_listed_set(make_dataset(folder, vectors), {})
    assert "\n" not in str(error.value)


def test_files_that_do_not_fit_are_one_sentence(folder):
    """Another number of rows, another length of vectors, no npz, no parquet, other lists beside it."""
    write_part(folder, 0)
    write_part(folder, 1, rows=3, l14_img=make_vectors(4), l14_txt=make_vectors(4))
    with pytest.raises(ListError, match=r"has 4 vectors and .*01.parquet 3 rows; download both again"):
        find_listed_set(make_dataset(folder, NPZ), {})
    write_part(folder, 1, l14_img=make_vectors(4, dims=5), l14_txt=make_vectors(4, dims=5))
    with pytest.raises(ListError, match="have 5 numbers and others 6"):
        find_listed_set(make_dataset(folder, NPZ), {})
    (folder / "01.npz").unlink()
    with pytest.raises(ListError, match=r"01.npz is not there"):
        find_listed_set(make_dataset(folder, NPZ), {})
    (folder / "a.csv").write_text("url,text,uid\nhttp://a.example/1.jpg,a,b\n")
    with pytest.raises(ConfigError, match="is of csv, whose rows have no numbers"):
        find_listed_set(make_dataset(folder / "a.csv", NPZ, preset=None), {})
    with pytest.raises(ConfigError, match="one vector of a caption a row and 2 columns of captions"):
        columns = {"url": "url", "caption": ["text", "uid"]}
        find_listed_set(make_dataset(folder / "00.parquet", NPZ, columns=columns), {})
    two = make_dataset(folder / "00.parquet", NPZ)
    two = two.model_copy(update={"sources": two.sources * 2})
    with pytest.raises(ConfigError, match="give it a dataset of its own"):
        find_listed_set(two, {})


def test_a_name_is_a_space_of_its_own(folder):
    """Equal to none of an encoder, and to none of another name."""
    write_part(folder, 0)
    listed = find_listed_set(make_dataset(folder, NPZ), {})

    assert {"listed_image": listed.space, "listed_text": listed.space} == listed.spaces
    assert make_named_space("openai ViT-L-14", DIMS) == listed.space != make_named_space("other", DIMS)
    assert not listed.space.is_comparable(resolve(Encode(clip="pocket", clap=None))["clip"].space)
    assert {"text"} == {each.take for each in make_lists(make_dataset(folder, NPZ))}
    assert "listed" == make_dataset(folder, NPZ).encode.set


@pytest.fixture(scope="module")
def pocket():
    return resolve(Encode(clip="pocket", clap=None))


def test_a_claim_is_checked_by_captions(folder, pocket):
    """Vectors of the encoder have its space; any others are refused, and so is a claim without captions."""
    captions = [*CAPTIONS[:12]]
    texts = encode_captions(pocket["clip"], captions)
    claim = {"npz": {"text": "t", "image": "i"}, "space": "clip"}
    write_part(folder, 0, rows=12, t=(3 * texts).astype(np.float32), i=texts)
    table = pq.read_table(folder / "00.parquet").set_column(2, "text", pa.array(captions))
    pq.write_table(table, folder / "00.parquet")
    dataset = make_dataset(folder, claim, POCKET)
    assert (
        dict.fromkeys(["clip_image", "clip_text"], pocket["clip"].space)
        == find_listed_set(dataset, pocket).spaces
    )

    np.savez(folder / "00.npz", t=texts[::-1], i=texts)
    with pytest.raises(SpaceError, match="claim one space, but the mean cosine of 12 captions is"):
        find_listed_set(dataset, pocket)
    np.savez(folder / "00.npz", t=texts[:, :5], i=texts[:, :5])
    with pytest.raises(SpaceError, match=r"gives vectors of .* numbers and .* has 5"):
        find_listed_set(dataset, pocket)
    np.savez(folder / "00.npz", i=texts)
    with pytest.raises(ConfigError, match="only vectors of a column of captions can show that"):
        find_listed_set(make_dataset(folder, {"npz": "i", "space": "clip"}, POCKET), pocket)


def test_encoders_make_their_own_set(folder, pocket):
    """Captions of the same rows, under another name; never both in one set."""
    write_part(folder, 0)
    assert find_listed_set(make_dataset(folder, NPZ, POCKET), pocket) is None
    with pytest.raises(ConfigError, match=r"encode\.clap would make vectors beside those"):
        find_listed_set(
            make_dataset(folder, NPZ | {"space": "clip"}, POCKET), pocket | {"clap": pocket["clip"]}
        )
