"""Clips from their lists to their vectors, from a folder and from a packed mirror."""

import json
import tarfile

import pytest
import soundfile

from jobs.shared.dataset_build import VectorMakers, make_media_step, make_vector_step
from jobs.shared.job import load
from pipelines.encode.resolve import resolve
from pipelines.miniature.captions import label
from pipelines.miniature.clips import clip
from pipelines.miniature.world import KINDS, draw
from pipelines.run.runner import Runner
from pipelines.source.plan import make_plan, preview
from pipelines.store.root import Root
from pipelines.store.shards import list_planned

CLIPS = 4
SEED = 5
FILE = """
name: clips
root: {root}
contact: you@example.org
sources:
  - {{kind: vggsound, list: vggsound.csv, media: "{media}"}}
encode: {{clip: pocket, clap: pocket, segment: {{mode: best}}}}
"""


def youtube_id(number):
    return f"-clip_{number:05d}"


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    """A list of clips, each of them in a folder and in a packed tar."""
    folder = tmp_path_factory.mktemp("mirror")
    scenes = [draw(SEED, "train", number) for number in range(CLIPS)]
    rows = [f'{youtube_id(n)},30,"{label(scene.kind)}",train' for n, scene in enumerate(scenes)]
    (folder / "vggsound.csv").write_text("\n".join(rows) + "\n")
    (folder / "clips").mkdir()
    for number, scene in enumerate(scenes):
        made = clip(scene, length_s=10.0, aac=number % 2 == 1)
        (folder / "clips" / f"{youtube_id(number)}_000030.mp4").write_bytes(made)
    with tarfile.open(folder / "vggsound_00.tar.gz", "w:gz") as tar:
        tar.add(folder / "clips", arcname=".")
    return folder


def through(folder, media, *overrides):
    """Bring a list through, in this process, and return its root."""
    name = media.partition(":")[0]
    file = folder / f"{name}.yaml"
    file.write_text(FILE.format(root=name, media=media))
    dataset = load(str(file), overrides)
    root = Root.from_url(dataset.root)
    make_plan(dataset, root)
    makers = VectorMakers(resolve(dataset.encode))
    for step in (make_media_step(dataset, root), make_vector_step(dataset, root, makers)):
        for shard in list_planned(root):
            Runner(step).run(shard)
    return root


@pytest.fixture(scope="module")
def loose(mirror):
    """Built out of the folder."""
    return through(mirror, f"file://{mirror}/clips/{{youtube_id}}_{{start_s:06d}}.mp4")


def rows(root, name, columns):
    return root.read_table(name, columns=columns).to_pylist()


def test_every_clip_has_its_length(loose, tmp_path):
    """Decoded to the end: ten seconds, to the sample."""
    lengths_s = []
    with tarfile.open(loose.get_path("media/00000.tar")) as tar:
        for info in tar:
            if info.name.endswith(".flac"):
                tar.extract(info, tmp_path, filter="data")
                wave_T, rate_hz = soundfile.read(tmp_path / info.name)
                lengths_s.append(len(wave_T) / rate_hz)

    assert [10.0] * CLIPS == lengths_s


def test_a_packed_mirror_gives_the_same_media_and_vectors(loose, mirror):
    """Only where a clip was taken from differs."""
    packed = through(mirror, f"tar://{mirror}/vggsound_*.tar.gz#{{youtube_id}}_{{start_s:06d}}.mp4")
    media = ["id", "outcome", "sha256", "sound_s", "peak_dbfs", "frame_change"]

    assert rows(loose, "media/00000.parquet", media) == rows(packed, "media/00000.parquet", media)
    assert loose.read("vectors/main/00000.parquet") == packed.read("vectors/main/00000.parquet")
    assert {"ok"} == {row["outcome"] for row in rows(packed, "media/00000.parquet", media)}


def test_segments_and_frames_are_stored(loose):
    """Each clip says which part of it its vectors stand for."""
    chosen = rows(
        loose,
        "vectors/main/00000.parquet",
        ["segment_start_s", "segment_score", "frame", "frame_score", "clap_audio"],
    )

    assert CLIPS == len(chosen)
    assert all(0 <= row["segment_start_s"] <= 7 and 0 <= row["frame"] <= 3 for row in chosen)
    assert all(row["segment_score"] > 0 and row["clap_audio"] is not None for row in chosen)


def test_prompts_select_segments(mirror):
    """Bells are heard in the clips of bells alone; the others are filtered, counted, and have no vectors."""
    kinds = [draw(SEED, "train", number).kind for number in range(CLIPS)]
    others = [label(kind) for kind in KINDS if kind != kinds[0]]
    prompts = {"mode": "best", "prompts": [label(kinds[0])], "against": others, "below": "drop"}
    media = f"file://{mirror}/clips/{{youtube_id}}_{{start_s:06d}}.mp4"
    root = through(mirror, media, "root=prompted", f"encode.segment={json.dumps(prompts)}")
    names = ["reason", "segment_score", "segment_length_s", "frame_s", "clap_audio"]
    chosen = rows(root, "vectors/main/00000.parquet", names)

    assert chosen[0]["segment_score"] == max(row["segment_score"] for row in chosen)
    assert all((row["segment_score"] >= 0.5) == (row["clap_audio"] is not None) for row in chosen)
    assert {row["reason"] for row in chosen if row["clap_audio"] is None} == {"not_heard"}
    assert all(0 <= row["frame_s"] <= 10 for row in chosen if row["clap_audio"] is not None)


def test_wanted_labels_are_counted(mirror):
    """A plan shows the labels that were asked for, however many others the list has."""
    wanted = label(draw(SEED, "train", 0).kind)
    file = mirror / "labels.yaml"
    file.write_text(FILE.format(root="labels", media="file:///{youtube_id}.mp4"))
    counts = preview(load(str(file), [f"sources.0.labels=['{wanted}']"]))

    assert [wanted] == list(counts.sources[0].labels)
    assert CLIPS - counts.sources[0].labels[wanted] == counts.filtered["label"]
