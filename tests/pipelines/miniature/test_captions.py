import re
from collections import Counter

import pytest

from pipelines.miniature import captions
from pipelines.miniature.translations import LANGUAGES
from pipelines.miniature.words import NAMES
from pipelines.miniature.world import KINDS, Scene, draw

MEDIA = ("picture", "sound")
BELLS = Scene("bell", 2, "red", "high", "meadow", seed=7)


def words(text):
    return set(re.findall("[a-z]+", text.lower()))


@pytest.mark.parametrize(
    ("medium", "split", "expected"),
    [
        pytest.param("picture", "train", "on the grass there are two brass bells", id="seen-train"),
        pytest.param("picture", "heldout", "a scene on the grass with two brass bells", id="seen-heldout"),
        pytest.param(
            "sound",
            "train",
            "a church bell chimes twice at a high pitch while the wind blows",
            id="heard-train",
        ),
        pytest.param(
            "sound", "heldout", "this is a recording of how a church bell chimes twice", id="heard-heldout"
        ),
    ],
)
def test_a_scene_always_has_the_same_caption(medium, split, expected):
    """A caption depends on the scene, the medium and the split, and on nothing else."""
    assert expected == captions.caption(BELLS, medium, split)


@pytest.mark.parametrize("medium", MEDIA)
def test_splits_share_words_but_no_template(medium):
    """Held-out captions are made of trained words in sentences that training never saw."""
    templates = captions.SEEN if medium == "picture" else captions.HEARD
    train, heldout = (
        [captions.caption(draw(0, "heldout", i), medium, split) for i in range(4000)]
        for split in ("train", "heldout")
    )

    assert set() == set(templates["train"]) & set(templates["heldout"])
    assert set() == set(train) & set(heldout)
    assert words(" ".join(heldout)) <= words(" ".join(train))


def test_the_vocabulary_has_every_word():
    """Sorted, small, lower-case, and complete for captions, labels and common queries."""
    vocabulary = captions.vocabulary()
    texts = [
        captions.caption(draw(0, split, i), medium, split)
        for split in ("train", "heldout")
        for medium in MEDIA
        for i in range(3000)
    ]
    texts += [captions.label(kind) for kind in KINDS]
    texts += ["the sound of a photo like a picture, what do you hear"]

    assert sorted(set(vocabulary)) == vocabulary
    assert len(vocabulary) < 900
    assert {"do"} >= words(" ".join(texts)) - set(vocabulary)


def test_captions_tell_kind_count_and_colour():
    """What a caption says about its scene is true, and most captions say most of it."""
    numbers = {word: n for n, word in enumerate(("one", "two", "three", "four"), 1)}
    told = Counter()
    for i in range(2000):
        scene = draw(3, "heldout", i)
        text = captions.caption(scene, "picture", "heldout")
        assert any(noun in text for names in NAMES[scene.kind].seen for noun in names.split("/")), text
        counted = {n for word, n in numbers.items() if word in words(text)}
        assert counted <= {scene.count}, text
        told["count"] += bool(counted)
        told["colour"] += scene.colour in text

    assert told["count"] > 1400
    assert told["colour"] > 1200


def test_a_variant_is_another_caption():
    """The same picture has other captions under other numbers."""
    texts = {captions.caption(BELLS, "picture", "train", variant) for variant in range(20)}

    assert len(texts) > 10


def test_labels_are_of_vggsounds_kind():
    """Every kind has a label of its own, and some labels have commas."""
    labels = {kind: captions.label(kind) for kind in KINDS}

    assert len(set(labels.values())) == 24
    assert labels["dog"] == "dog barking"
    assert {"bird", "bee", "train", "horn"} == {k for k, label in labels.items() if "," in label}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_a_word_for_everything(language):
    """24 kinds, 8 colours, 6 places and 4 counts, none of them twice."""
    table = LANGUAGES[language]
    sizes = [
        len(set(column.split("|"))) for column in (table.kinds, table.colours, table.places, table.times)
    ]

    assert sizes == [24, 8, 6, 4]


@pytest.fixture(scope="module")
def detector():
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@pytest.mark.parametrize("medium", MEDIA)
@pytest.mark.parametrize("language", ["en", *LANGUAGES])
def test_a_detector_knows_the_language(detector, language, medium):
    """Captions are long enough for a detector to tell their language, nearly always."""
    scenes = [draw(1, "heldout", i) for i in range(200)]
    texts = [
        captions.caption(scene, medium, "heldout")
        if language == "en"
        else captions.translated(scene, medium, language)
        for scene in scenes
    ]
    right = sum(detector.classify(text)[0] == language for text in texts)

    assert right >= 195
    assert all("{" not in text for text in texts)
