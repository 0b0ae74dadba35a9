"""Presets of lists: a few rows in the recorded form of each, planned."""

import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.compute import child_process
from pipelines.errors import ConfigError, ListError
from pipelines.source.plan import make_plan
from pipelines.source.registry import make_lists
from pipelines.source.table.presets import list_presets
from pipelines.store.root import Root
from schemas.dataset import Dataset
from schemas.fetch import Fetch

PICTURE = "http://a.example/{}.jpg"
YOUTUBE = "https://www.youtube.com/watch?v={}"
IDS = ("abcdefghijk", "Yabcdefghij", "-_cdefghijk")


def make_parquet(rows):
    return lambda path: pq.write_table(pa.Table.from_pylist(rows), path)


def make_text(text):
    return lambda path: path.write_text(text)


def write_tar(path):
    """Write two samples as img2dataset does."""
    with tarfile.open(path, "w") as tar:
        for number in range(2):
            record = {"url": PICTURE.format(number), "caption": f"text {number}", "key": f"{number:09d}"}
            members = (
                ("jpg", b"jpeg"),
                ("txt", record["caption"].encode()),
                ("json", json.dumps(record).encode()),
            )
            for ending, data in members:
                info = tarfile.TarInfo(f"{number:09d}.{ending}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


# What a file has to say beside the name of a preset, and what it names.
MORE = {
    "cc12m_tars": lambda folder: {"kind": "webdataset"},
    "clotho": lambda folder: {"files": str(folder)},
    "fsd50k": lambda folder: {"files": str(folder)},
    "audiosetcaps_audioset": lambda folder: {"join": {"list": write_captions(folder)}},
}


def write_captions(folder):
    """Write AudioSetCaps' captions, with a Y before the ids."""
    file = folder / "AudioSet_AudioSetCaps_caption.csv"
    file.write_text(f"id,caption\nY{IDS[0]},A dog barks\nY{IDS[1]},Y is a letter\n{IDS[2]},without the Y\n")
    return str(file)


# Preset -> (name of the file, what writes it, the candidates as (url, caption, start_s, length_s, id),
# counts of what the list itself rules out). Columns as the documentation of each list records them.
CASES = {
    "datacomp": (
        "00.parquet",
        make_parquet(
            [
                {"uid": f"{n:032x}", "url": PICTURE.format(n), "text": f"text {n}", "original_width": 640}
                | {"original_height": 480, "clip_b32_similarity_score": 0.3, "face_bboxes": [[0.1] * 4]}
                | {"clip_l14_similarity_score": 0.2, "sha256": "ab" * 32}
                for n in range(3)
            ]
        ),
        [(PICTURE.format(n), f"text {n}", None, None, f"{n:032x}") for n in range(3)],
        {},
    ),
    "relaion": (
        "part-0.parquet",
        make_parquet(
            [
                {"URL": PICTURE.format(n), "CAPTION": f"text {n}", "WIDTH": 10, "HEIGHT": 20}
                | {"similarity": 0.3, "punsafe": 0.01, "pwatermark": 0.2}
                for n in range(2)
            ]
        ),
        [(PICTURE.format(n), f"text {n}", None, None, None) for n in range(2)],
        {},
    ),
    "pd12m": (
        "pd12m.000.parquet",
        make_parquet(
            [
                {"id": "x1", "url": PICTURE.format(1), "s3_key": "a/b.jpg", "caption": "a painting"}
                | {"hash": "0" * 32, "width": 10, "height": 10, "mime_type": "image/jpeg"}
                | {"license": "CC0", "source": "a museum"}
            ]
        ),
        [(PICTURE.format(1), "a painting", None, None, "x1")],
        {},
    ),
    "pixelprose": (
        "vlm_captions_cc12m_00.parquet",
        make_parquet(
            [
                {"uid": str(n), "url": PICTURE.format(n), "key": f"{n:09d}", "status": status}
                | {"original_caption": "of the web", "vlm_model": "m", "vlm_caption": f"a long text {n}"}
                for n, status in enumerate(["success", "failed"])
            ]
        ),
        [(PICTURE.format(0), "a long text 0", None, None, "0")],
        {"where": 1},
    ),
    "coyo": (
        "part-00000.snappy.parquet",
        make_parquet(
            [
                {"id": 7, "url": PICTURE.format(1), "text": "a bell", "width": 300, "height": 200}
                | {"image_phash": "f" * 16, "clip_similarity_vitb32": 0.3, "num_faces": 0}
            ]
        ),
        [(PICTURE.format(1), "a bell", None, None, "7")],
        {},
    ),
    "wavcaps": (
        "bbc_final.json",
        make_text(
            json.dumps(
                {
                    "num_captions_per_audio": 1,
                    "data": [
                        {"id": "NHU1", "caption": "A bird sings.", "duration": 9.5, "audio": "wav_path"}
                        | {"download_link": "http://a.example/NHU1.wav.zip", "description": "Bird"},
                        {"id": "NHU2", "caption": ["Rain.", "It rains."], "duration": 3.0}
                        | {"download_link": "http://a.example/NHU2.wav", "title": "x"},
                    ],
                }
            )
        ),
        [
            ("http://a.example/NHU1.wav.zip", "A bird sings.", None, None, "NHU1"),
            ("http://a.example/NHU2.wav", "Rain.", None, None, "NHU2"),
            ("http://a.example/NHU2.wav", "It rains.", None, None, "NHU2"),
        ],
        {},
    ),
    "musiccaps": (
        "musiccaps-public.csv",
        make_text(
            "ytid,start_s,end_s,audioset_positive_labels,aspect_list,caption,author_id,is_balanced_subset,"
            "is_audioset_eval\n"
            + "".join(
                f'{each},30,40,"/m/0140xf,/m/02cjck","[\'calm\']","A ""soft"" piano.",4,False,True\n'
                for each in IDS
            )
        ),
        [(YOUTUBE.format(each), 'A "soft" piano.', 30.0, 10.0, each) for each in IDS],
        {},
    ),
    "audiosetcaps_vggsound": (
        "VGGSound_AudioSetCaps_caption.csv",
        make_text("id,caption\n" + "".join(f"{each}_000030,A dog barks\n" for each in IDS)),
        [(YOUTUBE.format(each), "A dog barks", 30.0, 10.0, f"{each}_000030") for each in IDS],
        {},
    ),
    "audiosetcaps_audioset": (
        "balanced_train_segments.csv",
        make_text(
            "# Segments csv created Sun Mar  5 10:54:31 2017\n# num_ytids=3, num_segs=3\n"
            "# YTID, start_seconds, end_seconds, positive_labels\n"
            + "".join(f'{each}, 30.000, 40.000, "/m/09x0r,/t/dd00088"\n' for each in IDS)
        ),
        [
            (YOUTUBE.format(IDS[0]), "A dog barks", 30.0, 10.0, IDS[0]),
            (YOUTUBE.format(IDS[1]), "Y is a letter", 30.0, 10.0, IDS[1]),
            (YOUTUBE.format(IDS[2]), "", 30.0, 10.0, IDS[2]),
        ],
        {},
    ),
    "clotho": (
        "clotho_captions_development.csv",
        make_text(
            "file_name,caption_1,caption_2,caption_3,caption_4,caption_5\n"
            '"rain, on a roof.wav",one,two,three,four,five\n'
        ),
        [
            ("rain%2C%20on%20a%20roof.wav", each, None, None, "rain, on a roof.wav")
            for each in ("one", "two", "three", "four", "five")
        ],
        {},
    ),
    "fsd50k": (
        "dev.csv",
        make_text(
            "fname,labels,mids,split\n"
            '64760,"Electric_guitar,Guitar","/m/02sgy,/m/0342h",train\n16399,"Rain","/m/06mb1",val\n'
        ),
        [(f"{each}.wav", "", None, None, each) for each in ("64760", "16399")],
        {},
    ),
    "cc12m_tars": (
        "cc12m-train-0000.tar",
        write_tar,
        [(PICTURE.format(n), f"text {n}", None, None, f"{n:09d}") for n in range(2)],
        {},
    ),
    "audiosetcaps_youtube8m": (
        "YouTube8M_AudioSetCaps_caption.csv",
        make_text("id,caption\n" + "".join(f"{each}_120_10,A dog barks\n" for each in IDS)),
        [(YOUTUBE.format(each), "A dog barks", 120.0, 10.0, f"{each}_120_10") for each in IDS],
        {},
    ),
}


def test_every_preset_has_a_case():
    """Nothing ships that was never read."""
    assert sorted(CASES) == list_presets()


@pytest.mark.parametrize("preset", CASES)
def test_a_preset_reads_its_list(tmp_path, preset):
    """With no other key than the name, or with the list that it joins."""
    name, write, wanted, filtered = CASES[preset]
    write(tmp_path / name)
    source = {"kind": "table", "list": str(tmp_path / name), "preset": preset}
    source |= MORE.get(preset, lambda folder: {})(tmp_path)
    content = {"name": "a", "root": str(tmp_path / "root"), "sources": [source], "contact": "me@a.example"}
    with child_process.use_this_process():
        counts = make_plan(Dataset.model_validate(content), Root.from_url(content["root"]))

    found = [
        (
            row["url"].removeprefix(f"{tmp_path.as_uri()}/"),
            row["caption"],
            row["start_s"],
            row["length_s"],
            row["source_key"],
        )
        for file in sorted(Path(content["root"]).glob("candidates/*.parquet"))
        for row in pq.read_table(file).to_pylist()
    ]
    assert sorted(map(str, wanted)) == sorted(map(str, found))
    assert (0, 0, filtered) == (counts.rejects, counts.duplicates, counts.filtered)
    assert {"image" if wanted[0][0].endswith(".jpg") else "clip"} == {lane.kind for lane in counts.lanes}


def test_a_key_of_the_file_is_before_that_of_the_preset(tmp_path):
    """A preset is where a file begins, and the file decides."""
    name, write, _, _ = CASES["datacomp"]
    write(tmp_path / name)
    source = {"kind": "table", "list": str(tmp_path / name), "preset": "datacomp", "where": "text LIKE '%2'"}
    content = {"name": "a", "root": str(tmp_path / "root"), "sources": [source], "contact": "me@a.example"}
    with child_process.use_this_process():
        counts = make_plan(Dataset.model_validate(content), Root.from_url(content["root"]))
    assert (1, {"where": 2}) == (sum(lane.rows for lane in counts.lanes), counts.filtered)


# A list that no preset describes, by its ending: of another form, or with other columns.
OTHERS = {
    "csv": "link,words\nhttp://a.example/1.jpg,a\n",
    "json": '[{"link": "http://a.example/1.jpg", "words": "a"}]',
}


@pytest.mark.parametrize("ending", [*OTHERS, "parquet", None])
@pytest.mark.parametrize("preset", [each for each in list_presets() if each != "cc12m_tars"])
def test_the_preset_of_another_list_is_named(tmp_path, preset, ending):
    """Whatever is wrong with the list by it, but for one that is not there."""
    place = tmp_path / f"a.{ending}"
    if ending in OTHERS:
        place.write_text(OTHERS[ending])
    elif ending is not None:
        make_parquet([{"link": "http://a.example/1.jpg", "words": "a"}])(place)
    more = MORE.get(preset, lambda _: {})(tmp_path)
    source = {"kind": "table", "list": str(place), "preset": preset} | more
    (listed,) = make_lists(Dataset(name="a", root=str(tmp_path / "root"), sources=[source]))
    with pytest.raises((ConfigError, ListError)) as caught:
        listed.open_list(Fetch())

    named = f"; preset {preset!r} says how the list is, so leave it out if this is another"
    assert (ending is not None) == str(caught.value).endswith(named)
    assert (ending is None) == ("is not there" in str(caught.value))


def test_a_preset_of_another_kind_says_so(tmp_path):
    """And what to write; so does one that needs another list."""
    content = {"name": "a", "root": str(tmp_path / "root"), "contact": "me@a.example"}
    for source, said in (
        ({"kind": "table", "preset": "cc12m_tars"}, "is of a webdataset list; say `kind: webdataset`"),
        ({"kind": "webdataset", "preset": "coyo"}, "is of a table list; say `kind: table`"),
        ({"kind": "table", "preset": "audiosetcaps_audioset"}, "'sources.0.join.list' is missing; add it"),
    ):
        dataset = Dataset.model_validate(content | {"sources": [source | {"list": "x"}]})
        with pytest.raises(ConfigError, match=said):
            make_lists(dataset)
