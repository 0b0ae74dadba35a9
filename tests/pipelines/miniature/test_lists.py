import csv
import gzip
import subprocess
import sys
from collections import Counter

import pytest

from pipelines.miniature.lists import write_lists

BASE = "http://127.0.0.1:8123"


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return write_lists(tmp_path_factory.mktemp("lists"), BASE, rows=600, seed=0)


def lines(path):
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return data.decode("utf-8", "replace").splitlines()


@pytest.fixture(scope="module")
def wit(paths):
    header, *rows = csv.reader(lines(paths["wit"]), delimiter="\t")
    return header, rows


def test_the_lists_are_named_as_published(paths):
    """A source finds the names under which people have the real files."""
    names = {source: path.name for source, path in paths.items()}

    assert names == {
        "wit": "wit_v1.train.all-00000-of-00001.tsv.gz",
        "cc3m": "Train_GCC-training.tsv",
        "cc12m": "cc12m.tsv",
        "audiocaps": "train.csv",
        "vggsound": "vggsound.csv",
    }


@pytest.mark.parametrize("rows", [200, 601, 3000])
def test_any_number_of_rows(tmp_path, rows):
    """All lists together have exactly as many rows as were asked for, headers aside."""
    paths = write_lists(tmp_path, BASE, rows=rows, seed=0)

    assert rows + 2 == sum(len(lines(path)) for path in paths.values())
    assert sorted(tmp_path.iterdir()) == sorted(paths.values())


@pytest.mark.parametrize(
    ("source", "separator", "expected"),
    [
        pytest.param("wit", "\t", {17: 268, 9: 2, 19: 1}, id="wit"),
        pytest.param("cc3m", "\t", {2: 118, 1: 1, 3: 1}, id="cc3m"),
        pytest.param("cc12m", "\t", {2: 118, 1: 1, 3: 1}, id="cc12m"),
        pytest.param("audiocaps", ",", {4: 47, 3: 2}, id="audiocaps"),
        pytest.param("vggsound", ",", {4: 40, 3: 1, 5: 1}, id="vggsound"),
    ],
)
def test_columns(paths, source, separator, expected):
    """Most rows have the published columns, a few have too many or too few."""
    # The CC lists have no quoting: a quote is a letter of the caption.
    quoting = csv.QUOTE_NONE if source in ("cc3m", "cc12m") else csv.QUOTE_MINIMAL
    rows = csv.reader(lines(paths[source]), delimiter=separator, quoting=quoting)

    assert expected == Counter(len(row) for row in rows)


@pytest.mark.parametrize(
    ("source", "broken", "repeated"),
    [
        pytest.param("wit", 1, 4, id="wit"),
        pytest.param("cc3m", 1, 2, id="cc3m"),
        pytest.param("cc12m", 1, 2, id="cc12m"),
        pytest.param("audiocaps", 1, 3, id="audiocaps"),
        pytest.param("vggsound", 0, 1, id="vggsound"),
    ],
)
def test_broken_text_and_repeated_rows(paths, source, broken, repeated):
    """One row is no UTF-8, and some stand there twice."""
    rows = lines(paths[source])

    assert broken == sum("\ufffd" in row for row in rows)
    assert repeated == len(rows) - len(set(rows))


def test_wit_header(wit):
    """The 17 columns in the published order."""
    header, _ = wit

    assert header == [
        "language", "page_url", "image_url", "page_title", "section_title",
        "hierarchical_section_title", "caption_reference_description",
        "caption_attribution_description", "caption_alt_text_description", "mime_type",
        "original_height", "original_width", "is_main_image", "attribution_passes_lang_id",
        "page_changed_recently", "context_page_description", "context_section_description",
    ]  # fmt: skip


def test_wit_languages(wit):
    """English has 35 to 40 rows in 100, Ukrainian is there, and one picture has many languages."""
    _, rows = wit
    languages = Counter(row[0] for row in rows)
    by_picture: dict[str, set[str]] = {}
    for row in rows:
        by_picture.setdefault(row[2], set()).add(row[0])

    assert 0.35 < languages["en"] / len(rows) < 0.40
    assert languages["uk"] == 14
    assert {"en", "de", "fr", "es", "it", "nl", "pl", "ru", "uk", "ja", "zh"} == set(languages)
    assert max(map(len, by_picture.values())) > 4


def test_wit_captions(wit):
    """Every column is the only one somewhere, and some rows have none that is of use."""
    _, rows = wit
    whole = [row for row in rows if len(row) == 17 and row[0] == "en"]
    filled = Counter((bool(row[6]), row[13] == "true" and bool(row[7]), bool(row[8])) for row in whole)
    useless = [row for row in whole if not row[6] and row[13] == "false" and not row[8]]

    assert filled[False, True, False] == 12
    assert filled[False, False, True] == 6
    assert 4 == len(useless) == filled[False, False, False]
    assert {"English"} == {row[7].split(":")[0] for row in whole if row[13] == "true"}
    assert any(row[7].startswith("Deutsch: ") and "English: " in row[7] for row in whole)
    assert {"true", "false"} == {value for row in whole for value in row[12:15]}


def test_wit_quoting_and_size(paths, wit):
    """Fields with quotes are quoted, and a context may be tens of kilobytes long."""
    _, rows = wit

    assert any('"""' in line for line in lines(paths["wit"]))
    assert max(len(row[-2]) for row in rows if len(row) >= 16) > 40_000


def test_wit_media_types(wit):
    """Besides JPEG there are PNG, WebP, GIF, TIFF and SVG."""
    _, rows = wit
    types = Counter(row[9] for row in rows if len(row) >= 10 and row[0] == "en")

    expected = {"image/png": 4, "image/webp": 2, "image/gif": 2, "image/tiff": 2}
    assert expected.items() <= types.items()
    assert types["image/svg+xml"] == 2


def test_cc_captions(paths):
    """CC3M is lower-cased and cut into tokens; CC12M hides names; both have bare quotes."""
    cc3m = [line.split("\t")[0] for line in lines(paths["cc3m"])]
    cc12m = [line.split("\t")[-1] for line in lines(paths["cc12m"])]

    assert cc3m == [text.lower() for text in cc3m]
    assert any(" , " in text for text in cc3m)
    assert not any(text.endswith(".") for text in cc3m)
    assert sum("<PERSON>" in text for text in cc12m) == 10
    assert {1, 3} == {text.count('"') for text in cc3m if '"' in text}


def test_cc_lists_overlap(paths):
    """Some URLs of CC12M are in CC3M under another caption."""
    cc3m = {(url, text) for text, url in _pairs(paths["cc3m"])}
    shared = [(u, t) for u, t in _pairs(paths["cc12m"]) if u and u in {url for url, _ in cc3m}]

    assert len(shared) == 5
    assert set() == {(u, t.lower().replace(",", " ,").rstrip(".")) for u, t in shared} & cc3m


def _pairs(path):
    return [row for line in lines(path) if len(row := line.split("\t")) == 2]


def test_empty_urls(paths, wit):
    """Each list of pictures has one row without a URL."""
    _, rows = wit

    assert sum(row[2] == "" for row in rows) == 1
    assert sum(url == "" for _, url in _pairs(paths["cc3m"])) == 1
    assert sum(url == "" for url, _ in _pairs(paths["cc12m"])) == 1


def test_starts_that_are_no_numbers(paths):
    """Both lists of clips have them."""
    audiocaps = [row for row in csv.reader(lines(paths["audiocaps"])) if len(row) == 4]
    vggsound = [row for row in csv.reader(lines(paths["vggsound"])) if len(row) == 4]

    assert audiocaps[0] == ["audiocap_id", "youtube_id", "start_time", "caption"]
    assert sum(not row[2].isdigit() for row in audiocaps[1:]) == 2
    assert sum(not row[1].isdigit() for row in vggsound) == 1


def test_audiocaps_has_clips_with_several_captions(paths):
    """As its validation and test splits have."""
    rows = {tuple(row[1:]) for row in csv.reader(lines(paths["audiocaps"])) if len(row) == 4}
    captions_of = Counter((youtube_id, start) for youtube_id, start, _ in rows)

    assert captions_of.total() - len(captions_of) == 6


def test_vggsound_labels_and_splits(paths):
    """Labels with commas are quoted, and both splits are there."""
    text = lines(paths["vggsound"])
    rows = [row for row in csv.reader(text) if len(row) == 4]

    assert Counter(row[3] for row in rows) == {"train": 34, "test": 6}
    assert any(',"railroad car, train wagon",' in line for line in text)
    assert any(",bird chirping, tweeting,train" in line for line in text)


def test_only_repeated_rows_are_duplicates(tmp_path):
    """No two other rows have the same URL, start and caption, however many there are."""
    paths = write_lists(tmp_path, BASE, rows=12_000, seed=0)
    seen: Counter[tuple[str, ...]] = Counter()
    for row in csv.reader(lines(paths["wit"])[1:], delimiter="\t"):
        seen[row[2], *row[6:9]] += 1
    for source in ("cc3m", "cc12m"):
        for row in _pairs(paths[source]):
            seen[tuple(sorted(row))] += 1
    for row in csv.reader(lines(paths["audiocaps"])):
        seen[tuple(row[1:])] += 1

    # 20 cycles of 4 + 2 + 2 + 3.
    assert seen.total() - len(seen) == 20 * 11


def test_the_same_seed_gives_the_same_bytes(tmp_path, paths):
    """Lists depend on the seed, the base URL and the number of rows, and on nothing else."""
    again = write_lists(tmp_path / "a", BASE, rows=600, seed=0)
    other = write_lists(tmp_path / "b", BASE, rows=600, seed=1)

    for source, path in paths.items():
        assert path.read_bytes() == again[source].read_bytes()
        assert path.read_bytes() != other[source].read_bytes()


def test_a_failure_leaves_no_half_list(tmp_path):
    """When writing fails, there is nothing in the folder."""
    with pytest.raises(ValueError, match="port"):
        write_lists(tmp_path, "http://127.0.0.1:port", rows=200, seed=0)

    assert list(tmp_path.iterdir()) == []


MEASURE = """
import resource, sys
from pathlib import Path
from pipelines.miniature.lists import write_lists
write_lists(Path(sys.argv[1]), "http://127.0.0.1:8123", rows=int(sys.argv[2]), seed=0)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def _memory_mb(folder, rows):
    command = [sys.executable, "-c", MEASURE, str(folder), str(rows)]
    return int(subprocess.run(command, check=True, capture_output=True).stdout) / 1024


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(5_000, id="5000-rows"),
        pytest.param(100_000, id="100000-rows", marks=pytest.mark.slow),
    ],
)
def test_memory_does_not_grow(tmp_path, rows):
    """The process that writes many rows is no larger than the one that writes few."""
    assert _memory_mb(tmp_path / "few", 500) + 4 > _memory_mb(tmp_path / "many", rows)
