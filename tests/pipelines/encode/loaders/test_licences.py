import logging

import pytest

from pipelines.encode.loaders.licences import read_licence, report_licence


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: cc-by-nc-sa-4.0\ntags: [audio]\n---\n# AudioLDM\n", "cc-by-nc-sa-4.0"),
        ("---\ntags: [audio]\n---\n# A model\n", None),
        ("# A model\n---\nlicense: mit\n---\n", None),
        ("---\n: [\n---\n", None),
        ("", None),
        (None, None),
    ],
    ids=["stated", "unstated", "in-the-text", "damaged", "empty", "no-card"],
)
def test_the_licence_is_the_cards(tmp_path, card, licence):
    """It is read from the head of the model's card, and from nowhere else."""
    if card is not None:
        (tmp_path / "README.md").write_text(card)
    assert licence == read_licence(tmp_path)


@pytest.mark.parametrize(
    ("licence", "said"),
    [
        ("cc-by-nc-sa-4.0", "cvssp/audioldm is under cc-by-nc-sa-4.0: no commercial use"),
        ("apache-2.0", "cvssp/audioldm is under apache-2.0"),
        (None, "cvssp/audioldm states no licence; ask"),
    ],
    ids=["non-commercial", "free", "none"],
)
def test_the_licence_is_said(tmp_path, caplog, licence, said):
    """As a warning, which every log shows."""
    if licence:
        (tmp_path / "README.md").write_text(f"---\nlicense: {licence}\n---\n")
    with caplog.at_level(logging.WARNING):
        sentence = report_licence("cvssp/audioldm", tmp_path)
    assert sentence.startswith(said)
    assert sentence in caplog.text
