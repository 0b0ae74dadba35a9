"""The encoders of a dataset's file: families, joining columns, and what is neither."""

import pickle

import pytest
from pydantic import ValidationError

from schemas.encoders import Encode

TOWER = {"loader": "mine:Tower", "joins": "0" * 64}


def test_entries_are_named_by_family_or_column():
    """Beside CLIP and CLAP there may be any others; those that are null are left out."""
    encode = Encode.model_validate(
        {"clip": "pocket", "clap": None, "ciap": {"loader": "mine:Ciap"}, "clap_image": TOWER}
    )

    assert ["clip", "ciap", "clap_image"] == [*encode.entries]
    assert "mine:Tower" == encode.entries["clap_image"].loader
    assert TOWER == encode.entries["clap_image"].model_dump()


def test_entries_survive_a_dataset_file_a_pickle_and_a_copy():
    """What is written into dataset.json is read again, key for key."""
    encode = Encode.model_validate({"clip": "pocket", "ciap": {"loader": "mine:Ciap"}})

    assert encode == Encode.model_validate_json(encode.model_dump_json())
    trusting = pickle.loads(pickle.dumps(encode.trust(["mine:Ciap"])))
    assert encode.entries == trusting.entries
    assert {"mine:Ciap"} == trusting.trusted
    assert {"set", "clip", "clap", "segment", "precision", "workers"} == set(
        Encode.model_validate({}).model_dump()
    )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"precison": "fp32"}, "extra_forbidden"),
        ({"ciap": "pocket"}, "extra_forbidden"),
        ({"ciap": {"weights": "x"}}, "extra_forbidden"),
        ({"ciap": ["mine:Ciap"]}, "extra_forbidden"),
        ({"my_family": {"loader": "mine:Ciap"}}, "'my_family' names neither a family"),
        ({"Ciap": {"loader": "mine:Ciap"}}, "'Ciap' names neither a family"),
        ({"clip_text": {"loader": "mine:Ciap"}}, "clip_text is a column of clip; name its encoder there"),
        ({"ciap": {"loader": "mine:Ciap()"}}, "names neither a loader of ours nor a class"),
        ({"ciap": {"loader": "../hub"}}, "names neither a loader of ours nor a class"),
        ({"clpi": None}, "extra_forbidden"),
    ],
    ids=str,
)
def test_what_is_no_encoder_is_no_key(content, sentence):
    """A misspelt key is not taken for a family."""
    with pytest.raises(ValidationError, match=sentence):
        Encode.model_validate(content)


def test_some_encoders_are_selected_from_others():
    """With the settings of the set, and with what the user trusts."""
    content = {"set": "other", "precision": "fp32", "ciap": {"loader": "mine:Ciap"}, "clap_image": TOWER}
    encode = Encode.model_validate(content).trust(["mine:Ciap"])

    selected = encode.select(["ciap"])

    assert ["ciap"] == [*selected.entries]
    assert ("other", "fp32", {"mine:Ciap"}) == (selected.set, selected.precision, selected.trusted)
    assert ("clap_image", "clap", "ciap") == tuple(
        map(encode.find_key, ("clap_image", "clap_audio", "ciap_audio"))
    )
