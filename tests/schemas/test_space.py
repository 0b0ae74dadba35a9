"""Two spaces are one, or comparable, or neither."""

import pytest

from schemas.space import Space

CLAP = Space(
    encoder="transformers:pocket",
    weights_sha256="a" * 64,
    library="transformers 5",
    preprocessing="48 kHz",
    precision="fp32",
    batch_rows=32,
    dims=512,
)
TOWER = CLAP.model_copy(update={"encoder": "mine:Tower", "weights_sha256": "b" * 64, "joins": CLAP.identity})


def test_a_space_without_joins_is_written_as_before():
    """Old tables and new ones of the same encoder have the same bytes."""
    assert "joins" not in CLAP.model_dump()
    assert f"{'a' * 64}/512d" == CLAP.identity == TOWER.model_dump()["joins"]
    assert Space.model_validate(CLAP.model_dump()) == CLAP


@pytest.mark.parametrize(
    ("other", "comparable"),
    [
        pytest.param(CLAP.model_copy(update={"fp32_cosine": 0.9}), True, id="equal"),
        pytest.param(TOWER, True, id="joins"),
        pytest.param(TOWER.model_copy(update={"precision": "bf16"}), True, id="joins-in-bf16"),
        pytest.param(CLAP.model_copy(update={"precision": "bf16"}), False, id="bf16"),
        pytest.param(CLAP.model_copy(update={"weights_sha256": "b" * 64}), False, id="weights"),
        pytest.param(TOWER.model_copy(update={"joins": None}), False, id="same-length-alone"),
        pytest.param(TOWER.model_copy(update={"joins": f"{'c' * 64}/512d"}), False, id="joins-another"),
        pytest.param(TOWER.model_copy(update={"dims": 256}), False, id="another-length"),
    ],
)
def test_comparable_is_what_is_equal_or_joins(other, comparable):
    """Whoever asks whom; and only what is equal is one space."""
    assert comparable is CLAP.is_comparable(other)
    assert comparable is other.is_comparable(CLAP)
    assert (other.joins is None and comparable) is (other == CLAP)


def test_two_towers_of_one_space_compare():
    """Each joins the space of a third net."""
    other = TOWER.model_copy(update={"weights_sha256": "c" * 64})

    assert TOWER.is_comparable(other)
    assert "weights_sha256 bbbb" in TOWER.describe_differences(other)


def test_settings_of_a_class_are_part_of_its_space():
    """Those that were not stored match any: tables of before have none."""
    given = [CLAP.model_copy(update={"settings": settings}) for settings in (None, "seed=1", "seed=2")]

    assert [True, True, False] == [space == given[1] for space in given]
    assert hash(given[0]) == hash(given[1])
    assert "settings seed=1, not seed=2" == given[1].describe_differences(given[2])
    assert given[1].identity.endswith("/512d/seed=1")
    assert "settings" not in given[0].model_dump()
