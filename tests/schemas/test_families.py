"""Columns are made of families and modalities, and everything else follows from their names."""

import pytest

from schemas.families import (
    COLUMNS,
    check_column,
    find_default,
    get_family,
    get_modality,
    has_column,
    is_column,
    is_embedded,
    list_columns,
    sort_columns,
)


def test_tables_keep_the_order_of_their_columns():
    """The columns of CLIP and CLAP lie in tables in this order, and in every digest."""
    assert ("clip_image", "clip_text", "clap_text", "clap_audio") == COLUMNS
    assert (*COLUMNS, "ciap_image", "ciap_audio", "clap_image") == sort_columns(
        ["clap_image", "ciap_audio", *COLUMNS[::-1], "ciap_image"]
    )


@pytest.mark.parametrize(
    ("column", "family", "modality"),
    [("clip_image", "clip", "image"), ("ciap_image", "ciap", "image"), ("x2_audio", "x2", "audio")],
)
def test_a_column_is_a_family_and_a_modality(column, family, modality):
    """Whatever the family is called."""
    assert (family, modality) == (get_family(column), get_modality(column))
    assert column in list_columns(family, [modality])
    assert column == check_column(column)


@pytest.mark.parametrize(
    "name",
    [
        *("", "clip", "_image", "clip_", "clip_video", "Clip_image", "my_clip_image", "clip_image\n"),
        *("clip image", "../x_image", "'_image", "c" * 33 + "_image", "\u010dip_image"),
    ],
    ids=ascii,
)
def test_other_names_are_no_columns(name):
    """They name Parquet columns, files and members of tars, so nothing else gets through."""
    assert not is_column(name)
    with pytest.raises(ValueError, match="names no column; write FAMILY_MODALITY"):
        check_column(name)


def test_rows_have_the_columns_of_their_media():
    """Text has no picture, a picture no sound, and a clip both."""
    assert [is_embedded(kind, "ciap_audio") for kind in ("image", "clip", "text")] == [False, True, False]
    assert [is_embedded(kind, "ciap_image") for kind in ("image", "clip", "text")] == [True, True, False]
    # What has no media may have vectors of media all the same, which its list brings.
    assert [has_column(kind, "ciap_audio") for kind in ("image", "clip", "text")] == [False, True, True]
    assert [has_column(kind, "ciap_image") for kind in ("image", "clip", "text")] == [True, True, True]
    assert [has_column(kind, "clap_text") for kind in ("image", "clip", "text")] == [True, True, True]


@pytest.mark.parametrize(
    ("modality", "columns", "expected"),
    [
        ("text", COLUMNS, "clip_image"),
        ("audio", COLUMNS, "clap_audio"),
        ("text", ("clap_text", "clap_audio"), "clap_audio"),
        ("audio", ("ciap_image", "ciap_audio"), "ciap_audio"),
        ("image", ("ciap_audio", "ciap_image"), "ciap_image"),
        ("audio", (), "clap_audio"),
    ],
)
def test_the_default_is_the_usual_column_or_one_like_it(modality, columns, expected):
    """Where the usual column is missing, another of the same media is searched."""
    assert expected == find_default(modality, columns)
