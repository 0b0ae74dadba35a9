import pytest

from pipelines.errors import ConfigError
from pipelines.filter.captions import DetectLanguage
from pipelines.miniature import captions, world

# Short, and full of the names of other places: what a detector mistakes most easily.
ENGLISH = [
    "A dog barks", "Rain falls and thunder roars in the distance", "a sheep baa followed by birds chirping",
    "Bell ringing", "car engine starting", "Red panda", "Sunset", "Siren", "two cats", "Bibimbap",
    "Old piano", "Chicken curry", "a very typical bus station", "gangsta rap artist attends sports team",
    "this is real fast food !", "Cathedral of Santiago de Compostela", "The Palais Garnier in Paris",
    "View of Rio de Janeiro from Corcovado", "Panthera tigris tigris in the Bandhavgarh National Park",
    "Coat of arms of Liechtenstein", "Map of Schleswig-Holstein", "Castle Neuschwanstein",
    "Portrait of Johann Wolfgang von Goethe by Joseph Karl Stieler", "Hagia Sophia", "Tram in Lisbon",
    "Piazza San Marco, Venice", "Church in Saint-Germain-en-Laye", "FC Barcelona players in 1911",
    "Leonardo da Vinci's Mona Lisa", "Sushi restaurant in Kyoto", "Volkswagen Golf Mk2",
    "Cello concerto in E minor, Op. 85", "A bowl of pho in Hanoi", "El Capitan, Yosemite Valley",
    "Kitchen sink IMG_2034.jpg", "bird chirping, tweeting", "Ruins of Machu Picchu", "1967 Ford Mustang",
]  # fmt: skip
OTHER = {
    "de": "Auf diesem Bild ist der alte Bahnhof von Leipzig im Winter zu sehen.",
    "fr": "Une femme parle pendant que les oiseaux chantent dans le jardin",
    "es": "Una mujer habla mientras cantan los pájaros en el jardín",
    "el": "Ένας σκύλος γαβγίζει δίπλα στο παλιό κάστρο",
    "ja": "城からの街の眺めと古い橋",
    "uk": "Вид на місто із старого замку та його околиці",
}


@pytest.fixture(scope="module")
def english():
    """The opened stage, English wanted."""
    return DetectLanguage("en").open()


def rows(texts):
    return {"caption": list(texts), "outcome": ["ok"] * len(texts), "reason": [""] * len(texts)}


def test_english_is_not_dropped(english):
    """Neither short captions full of foreign names nor those of the miniature world."""
    scenes = [world.draw(1, "heldout", index) for index in range(300)]
    drawn = [
        captions.caption(scene, medium, "heldout") for scene in scenes for medium in ("picture", "sound")
    ]
    labels = [captions.label(kind) for kind in world.KINDS]
    done = english(rows(ENGLISH + drawn + labels))

    assert [
        text for text, status in zip(done["caption"], done["outcome"], strict=True) if status != "ok"
    ] == []


def test_what_is_surely_another_language_is_dropped(english):
    """Ukrainian is one; `uk` is not the United Kingdom."""
    done = english(rows(OTHER.values()))

    assert done["language_detected"] == list(OTHER)
    assert done["reason"] == ["language_detected"] * len(OTHER)
    assert set(done["outcome"]) == {"filtered"}
    assert min(done["language_confidence"]) > 0.5


def test_doubt_is_recorded_and_keeps_the_row(english):
    """A word or two may be in any language."""
    done = english(rows(["Altes Rathaus", "1234 !!", ""]))

    assert done["outcome"] == ["ok"] * 3
    assert done["language_detected"][0] == "de"
    assert 0 < done["language_confidence"][0] < 0.5
    assert (done["language_detected"][2], done["language_confidence"][2]) == (None, None)


def test_another_language_may_be_wanted():
    """Then English goes and German stays."""
    wanted = DetectLanguage("de").open()
    done = wanted(rows([OTHER["de"], "this is a photo of two big red bells on a snowy street at night"]))

    assert done["outcome"] == ["ok", "filtered"]


def test_none_only_records():
    """Every row stays, with its language."""
    done = DetectLanguage(None).open()(rows(OTHER.values()))

    assert set(done["outcome"]) == {"ok"}
    assert done["language_detected"] == list(OTHER)


def test_rows_already_decided_are_left_alone(english):
    """The language is recorded all the same."""
    batch = {"caption": [OTHER["de"]], "outcome": ["filtered"], "reason": ["label"]}
    done = english(batch)

    assert (done["reason"], done["language_detected"]) == (["label"], ["de"])


def test_an_unknown_language_is_an_error_of_the_file():
    """Codes that the detector has not, such as a country's, are named with those that it has."""
    with pytest.raises(ConfigError, match=r"filter.language is 'english'.*give one of .*de.*en"):
        DetectLanguage("english").open()
