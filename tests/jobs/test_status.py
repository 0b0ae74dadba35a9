from tests.commands import echolens


def test_versions_are_compared(own_versions):
    """`status --changes` counts what came and went."""
    said = echolens("status", own_versions.at().url, "--changes", 1, 2).stdout

    assert "+1  candidates" in said
    assert "+1  vectors of clip_image" in said
