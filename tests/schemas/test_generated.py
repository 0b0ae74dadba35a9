"""What was stored of generated sounds before other media came is read as what is stored now."""

import json

import pytest
from pydantic import ValidationError

from schemas.generated import GENERATED, GeneratedCard, GenerationManifest
from schemas.generated_1 import convert_row
from tests.commands import HOME

EARLIER = HOME / "tests" / "data" / "generated_1" / "words"


def test_an_earlier_request_and_card_are_read():
    """With the generator's parameters apart from those that every generator has."""
    manifest = GenerationManifest.model_validate_json((EARLIER / "wanted.json").read_bytes())
    card = GeneratedCard.model_validate_json((EARLIER / "card.json").read_bytes())

    assert {"length_s": 0.32, "steps": 2, "guidance": 2.5} == manifest.params
    assert (0, 1, "flac", 2) == tuple(manifest.settings.model_dump().values())
    assert ("pocket", "sound", ("clap_audio",)) == (
        manifest.generator.name,
        manifest.generator.medium,
        manifest.generator.reads,
    )
    assert (manifest, 6, 1.92, 1) == (card.wanted, card.samples, card.length_s, len(card.spaces))


def test_what_is_read_is_written_as_it_is_today():
    """And read again, unchanged."""
    card = GeneratedCard.model_validate_json((EARLIER / "card.json").read_bytes())
    written = json.loads(card.model_dump_json())

    assert card == GeneratedCard.model_validate(written)
    assert "making" not in written["wanted"]
    assert {"samples", "samples_sha256", "spaces"} <= written.keys()


def test_a_damaged_request_is_no_request():
    """Whatever of it is missing or strange."""
    content = json.loads((EARLIER / "wanted.json").read_bytes())
    for change in ({"making": 3}, {"generator": None}, {"making": {}}, {"unknown": 1}):
        with pytest.raises(ValidationError):
            GenerationManifest.model_validate(content | change)
    with pytest.raises(ValidationError):
        GenerationManifest.model_validate([])


def test_an_earlier_row_has_the_columns_of_today():
    """Also one without a sound; a row of today stays as it is."""
    values = dict.fromkeys(GENERATED.names) | {"length_s": None, "steps": 4, "guidance": 2.5, "key": "0"}
    earlier = {key: value for key, value in values.items() if key not in ("medium", "size", "params")}

    row = convert_row(earlier)

    assert set(GENERATED.names) == row.keys()
    assert ("sound", None, {"steps": 4, "guidance": 2.5}) == (
        row["medium"],
        row["size"],
        json.loads(row["params"]),
    )
    assert row == convert_row(row)
