"""Our encoders as one of `mteb`: vectors are those of the project, and so are the scores."""

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest

from pipelines.encode.encoder import encode, get_tower
from pipelines.encode.resolve import resolve
from pipelines.errors import ConfigError
from pipelines.evaluate.mteb_encoder import MtebEncoder
from pipelines.evaluate.row_sets.scenes import MiniatureScenes
from pipelines.evaluate.vector_scores import score_pairs
from pipelines.translate.shipped import get_shipped_root
from pipelines.translate.translator import Translator
from schemas.encoders import Encode

IS_THERE = importlib.util.find_spec("mteb") is not None
needs_mteb = pytest.mark.skipif(not IS_THERE, reason="the package is an extra")
POCKET = Encode.model_validate({"clip": "pocket", "clap": "pocket"})
ROWS = 24


class Loader(list):
    """Batches of theirs: a list of mappings whose data set names its columns."""

    @property
    def dataset(self):
        return SimpleNamespace(features=dict.fromkeys(self[0]))


class Video:
    """What a decoder of theirs offers, over eight frames of one picture each."""

    metadata = SimpleNamespace(num_frames=8)

    def __init__(self, pictures):
        self.frames = [np.asarray(each).transpose(2, 0, 1) for each in pictures]

    def get_frames_at(self, numbers):
        return SimpleNamespace(data=[self.frames[number * len(self.frames) // 8] for number in numbers])


@pytest.fixture(scope="module")
def scenes():
    """Pictures, sounds and captions of held-out scenes, as their data sets have them."""
    import io

    import soundfile
    from PIL import Image

    drawn, rows = MiniatureScenes("picture->sound", 0, ROWS, (), 8), range(ROWS)
    pictures = [
        Image.open(io.BytesIO(each)).convert("RGB") for each in drawn.read_media("scored", "picture", rows)
    ]
    waves = [
        soundfile.read(io.BytesIO(each), dtype="float32")
        for each in drawn.read_media("scored", "sound", rows)
    ]
    captions = [each.decode() for each in drawn.read_media("scored", "text", rows)]
    return pictures, [{"array": wave, "sampling_rate": rate} for wave, rate in waves], captions


@pytest.fixture(scope="module")
def expected():
    """The same by hand: the towers, and the translator that ships."""
    specs, drawn, rows = resolve(POCKET), MiniatureScenes("picture->sound", 0, ROWS, (), 8), range(ROWS)

    def embed(family, modality, medium):
        tower = get_tower(specs[family], modality)
        pieces = [
            tower.prepare(item.decode() if medium == "text" else item)
            for item in drawn.read_media("scored", medium, rows)
        ]
        return encode(tower, pieces, specs[family].space.batch_rows)[0]

    translator = Translator.open(get_shipped_root(), "picture_to_sound")
    crossed = translator.translate(embed("clip", "image", "picture"), translator.card.source_space)
    return crossed, embed("clap", "audio", "sound"), embed("clap", "text", "text")


@pytest.mark.skipif(IS_THERE, reason="the package is here")
def test_without_the_package_the_extra_is_named():
    with pytest.raises(ConfigError, match=r"install the extra, as in `pip install echolens\[mteb\]`"):
        MtebEncoder(POCKET)


@needs_mteb
def test_vectors_are_those_of_the_project(scenes, expected):
    """Pictures through CLIP and the translator, sounds and texts by CLAP; a video is its frames."""
    pictures, sounds, captions = scenes
    encoder = MtebEncoder(POCKET, via="pocket")
    for medium, items, vectors in zip(("image", "audio", "text"), scenes, expected, strict=True):
        found = encoder.encode(Loader([{medium: items[:20]}, {medium: items[20:]}]))
        assert found.dtype == np.float32
        # The sounds of our files have 16 bits, and pictures are JPEG that Pillow decodes here.
        assert (found * vectors).sum(1).min() > 0.999, medium
    still = encoder.encode(Loader([{"video": [Video([each]) for each in pictures[:2]]}]))
    alike = [row for row in range(ROWS) if pictures[row].size == pictures[0].size][:2]
    moving = encoder.encode(Loader([{"video": [Video([pictures[row] for row in alike])]}]))
    crossed, mixed = expected[0][:2], expected[0][alike].mean(0)

    assert (still * crossed).sum(1).min() > 0.999
    assert 2 == len(alike)
    assert float(moving[0] @ mixed) / np.linalg.norm(mixed) > 0.999
    both = encoder.encode(Loader([{"audio": sounds[:3], "text": captions[:3]}]))
    mean = expected[1][:3] + expected[2][:3]
    assert (both * mean).sum(1) / np.linalg.norm(mean, axis=1) == pytest.approx(np.ones(3), abs=1e-3)


@needs_mteb
def test_a_tower_needs_no_translator(scenes, outside_families, clap_space):
    """Pictures by a tower that joins CLAP; one that is given with a translator gives way to that."""
    loader = "outside_families:Tower"
    entry = {"loader": loader, "joins": clap_space.identity, "dims": clap_space.dims}
    asked = Encode.model_validate({"clip": "pocket", "clap": "pocket", "clap_image": entry}).trust([loader])
    batches = Loader([{"image": scenes[0][:4]}])
    by_tower, by_translator = (MtebEncoder(asked, via=via).encode(batches) for via in (None, "pocket"))

    assert (4, clap_space.dims) == by_tower.shape
    assert np.linalg.norm(by_tower, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    assert abs((by_tower * by_translator).sum(1)).max() < 0.5


@needs_mteb
def test_what_cannot_be_embedded_is_one_sentence(scenes, tmp_path):
    """Pictures without a way into CLAP, a medium that nobody knows, and a translator that is not there."""
    with pytest.raises(ConfigError, match="rows of image cannot be embedded by encoders of"):
        MtebEncoder(POCKET).encode(Loader([{"image": scenes[0]}]))
    with pytest.raises(ConfigError, match="rows of smell cannot be embedded"):
        MtebEncoder(POCKET).encode(Loader([{"smell": [1]}]))
    with pytest.raises(ConfigError, match="nobody"):
        MtebEncoder(POCKET, via="nobody")
    with pytest.raises(ConfigError, match="it is no folder ROOT/translators/NAME"):
        MtebEncoder(POCKET, via=f"{tmp_path}/nobody")
    with pytest.raises(ConfigError, match="there is no encoder of clip_image"):
        MtebEncoder(Encode.model_validate({"clip": None, "clap": "pocket"}), via="pocket")


@needs_mteb
def test_a_folder_of_a_translator_is_one():
    """The one that ships, by its place."""
    from pathlib import Path

    folder = Path(get_shipped_root().url.removeprefix("file://")) / "translators/picture_to_sound"
    named, placed = MtebEncoder(POCKET, via="pocket"), MtebEncoder(POCKET, via=str(folder))

    assert named.mteb_model_meta.revision == placed.mteb_model_meta.revision
    assert MtebEncoder(POCKET).mteb_model_meta.revision != named.mteb_model_meta.revision
    assert ["text", "audio", "image", "video"] == named.mteb_model_meta.modalities


@needs_mteb
def test_their_scores_are_ours(scenes, expected, tmp_path):
    """A retrieval task of theirs, picture -> sound, over 24 scenes: R@1, R@5, R@10 and nDCG as by hand."""
    import mteb
    from datasets import Dataset
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
    from mteb.abstasks.task_metadata import TaskMetadata

    pictures, sounds, _ = scenes
    queries = Dataset.from_dict({"id": [f"q{row}" for row in range(ROWS)], "image": pictures})
    heard = [{"array": each["array"].tolist(), "sampling_rate": each["sampling_rate"]} for each in sounds]
    corpus = Dataset.from_dict({"id": [f"d{row}" for row in range(ROWS)], "audio": heard})

    class Scenes(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name="MiniatureScenes", description="Scenes.", reference=None, type="Any2AnyRetrieval",
            dataset={"path": "none/none", "revision": "1"}, category="i2a", modalities=["image", "audio"],
            eval_splits=["test"], eval_langs=["eng-Latn"], main_score="ndcg_at_10", date=None, domains=None,
            task_subtypes=None, license=None, annotations_creators=None, dialect=None, sample_creation=None,
            bibtex_citation=None,
        )  # fmt: skip

        def load_data(self, num_proc=None, **kwargs):
            right = {f"q{row}": {f"d{row}": 1} for row in range(ROWS)}
            split = RetrievalSplitData(queries=queries, corpus=corpus, relevant_docs=right, top_ranked=None)
            self.dataset = {"default": {"test": split}}
            self.data_loaded = True

    encoder = MtebEncoder(POCKET, via="pocket")
    results = mteb.evaluate(encoder, Scenes(), cache=None, co2_tracker=False, show_progress_bar=False)
    (theirs,) = results.task_results[0].scores["test"]
    ours = score_pairs(expected[0], expected[1], np.arange(ROWS))
    print(
        {
            name: (theirs[f"recall_at_{depth}"], ours[f"r{depth}"].mean())
            for depth in (1, 5, 10)
            for name in [depth]
        }
    )

    for depth in (1, 5, 10):
        assert theirs[f"recall_at_{depth}"] == pytest.approx(ours[f"r{depth}"].mean(), abs=1e-4)
    assert theirs["map_at_10"] == pytest.approx(ours["map10"].mean(), abs=1e-4)
    assert 0.3 < theirs["ndcg_at_10"] < 1
