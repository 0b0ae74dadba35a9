import numpy as np
import pytest

from pipelines.errors import ConfigError, SpaceError
from pipelines.lookup.search import Lookup

GONE = "000013"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        pytest.param({"text": " \n"}, "the text is empty", id="blank-text"),
        pytest.param({"image": b"<html>"}, r"\(undecodable\); give a JPEG", id="html"),
        pytest.param({"sound": b""}, r"\(undecodable\); give a WAV", id="empty-sound"),
        pytest.param({"text": "a", "via": "none"}, "no translator 'none'; the dataset has: none", id="via"),
        pytest.param(
            {"text": "a", "only": {"sources": ["wit"]}},
            "no row has the source 'wit'; .*: cc3m, vgg",
            id="source",
        ),
        pytest.param(
            {"text": "a", "only": {"languages": ["fr"]}},
            "no row has the language 'fr'; .*: de, en",
            id="language",
        ),
        pytest.param({"vector": (0.0,) * 24}, "norm 0; give 24 finite numbers", id="zeros"),
        pytest.param({"vector": (float("nan"),) * 24}, "norm nan; give 24 finite numbers", id="nan"),
        pytest.param({"vector": (1e300,) * 24}, "norm inf; give 24 finite numbers", id="huge"),
        pytest.param({"vector": (1.0,) * 20}, r"shape \(20,\) .* give 24 finite numbers", id="short"),
    ],
)
def test_bad_questions(ask, asked, said):
    """One sentence: what was found, what was wanted, what to do."""
    with pytest.raises(ConfigError, match=said):
        ask(**asked)


def test_a_row_asks_with_what_it_has(ask, vectors):
    """A text has no picture: its caption asks the pictures, unless another vector was named."""
    keys, captions_ND = vectors("clip_text")
    of_pictures, pictures_ND = vectors("clip_image")
    scores = pictures_ND @ captions_ND[keys.index("000030")]
    ranked = [of_pictures[n] for n in np.argsort(-scores) if of_pictures[n] != GONE]

    assert ranked[:5] == [hit.key for hit in ask(key="000030", k=5)]
    with pytest.raises(ConfigError, match="'000030' has no vector in clip_image"):
        ask(key="000030", of="clip_image")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        pytest.param({"image": b"?", "into": "clap_audio"}, "a picture .* clip .* --via", id="picture"),
        pytest.param({"sound": b"?", "into": "clip_image"}, "a sound .* clap .* --via", id="sound"),
        pytest.param(
            {"key": "000023", "of": "clip_image", "into": "clap_text"}, "clip_image is in", id="key"
        ),
    ],
)
def test_the_other_space_is_out_of_reach(ask, asked, said):
    """Without a translator no question crosses from one space to the other."""
    with pytest.raises(SpaceError, match=said):
        ask(**asked)


def test_a_column_without_an_index(ask, root, dataset, version):
    """What can be searched is named."""
    entries = [entry for entry in version.indices if "clip_" in entry.path]
    lookup = Lookup.open(root, dataset, version.model_copy(update={"indices": entries}))

    with pytest.raises(ConfigError, match=r"no index of clap_audio; .*: clip_image, clip_text"):
        ask(text="a bell", into="clap_audio", by=lookup)
    with pytest.raises(ConfigError, match=r"no encoder of this dataset embeds a sound; ask with"):
        ask(sound=b"", by=lookup)
    with pytest.raises(ConfigError, match=r"no index of clap_audio"):
        lookup.warm(["clap_audio"])
