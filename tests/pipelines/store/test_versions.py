"""Versions are found by their number and their set, and damaged ones are named."""

import pytest

from pipelines.errors import StorageError
from pipelines.maintain.clean import clean
from pipelines.store import versions


def test_two_sets_have_versions_of_their_own(own_versions):
    """The current version of a set is the highest that names it; candidates and media are shared."""
    other = own_versions.finish(own_versions.dataset("encode.set=other"))
    root = own_versions.at()

    assert (3, "other") == (other.number, other.set)
    assert (2, 3) == (versions.find_current(root, "main").number, versions.find_current(root, "other").number)
    assert 2 == versions.find_unchanged(root, "main").number
    assert [] == clean(root, keep=2, yes=False)


def test_a_version_that_is_not_there_is_answered_with_those_that_are(two_versions):
    """Whoever has one version learns how to come by another."""
    with pytest.raises(StorageError, match=r"has no version 9; name one of 1, 2, or run `echolens refresh`"):
        versions.read_version(two_versions.at(), 9)


def test_a_damaged_manifest_is_named(own_versions):
    """And not mistaken for no version at all."""
    root = own_versions.at()
    root.write("versions/0002.json", b"{")
    with pytest.raises(StorageError, match=r"versions/0002\.json is damaged"):
        versions.read_version(root)
