import pytest

from pipelines.source.registry import make_format_error
from schemas.dataset import Source


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        ("language\tpage_url\timage_url\tpage_title", "wit"),
        ("audiocap_id,youtube_id,start_time,caption", "audiocaps"),
        ("---g-f_I2yQ,1,people marching,test", "vggsound"),
        ("https://a.example/1.jpg\ta dog", "cc12m"),
        ("a dog\thttps://a.example/1.jpg", "cc3m"),
    ],
)
def test_a_list_of_another_kind_is_recognised(first, kind):
    """The kind is named that a list looks like; a list of the kind that was said is not called another."""
    other = "cc3m" if kind != "cc3m" else "wit"

    error = make_format_error(Source(kind=other, list="a.tsv"), [first], "begins otherwise")
    same = make_format_error(Source(kind=kind, list="a.tsv"), [first], "begins otherwise")

    assert str(error).endswith(f"it looks like a {kind} list, so say `kind: {kind}`")
    assert str(same).endswith(f"a {kind} list begins otherwise; give a {kind} list")


def test_a_long_record_is_cut_off():
    """The sentence stays one that can be read."""
    error = make_format_error(Source(kind="wit", list="a.tsv"), ["x" * 1000], "has a header")

    assert f"begins with '{'x' * 100}...', but" in str(error)
