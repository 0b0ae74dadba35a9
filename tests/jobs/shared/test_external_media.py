import pytest

from jobs.shared.external_media import find_pictures, read_sound_files
from pipelines.errors import ConfigError


@pytest.fixture
def folder(tmp_path):
    """Two pictures, one with a text file beside it, and a file that is none."""
    (tmp_path / "a_red-bell.jpg").write_bytes(b"one")
    (tmp_path / "b.png").write_bytes(b"two")
    (tmp_path / "b.txt").write_text("a dog\n on the grass ")
    (tmp_path / "notes.md").write_text("no picture")
    return tmp_path


def test_a_picture_has_the_text_beside_it_or_its_name_as_caption(folder):
    """Files of a folder in the order of their names; a URL has the words of its path."""
    found = find_pictures([str(folder), "https://media.example/big_dog.jpg?w=640"])

    assert [("a red bell", "a_red-bell.jpg"), ("a dog on the grass", "b.png")] == [
        (caption, path.name) for caption, path in found.files
    ]
    assert [("big dog", "https://media.example/big_dog.jpg?w=640")] == [*found.urls]


def test_the_hash_is_of_captions_and_bytes(folder):
    """The same pictures have the same hash from wherever they are; another caption makes another."""
    before = find_pictures([str(folder)]).sha256
    same = find_pictures([str(folder / "a_red-bell.jpg"), str(folder / "b.png")]).sha256
    (folder / "b.txt").write_text("a cat")

    assert before == same != find_pictures([str(folder)]).sha256


def test_what_is_no_picture_and_no_sound_is_one_sentence(folder):
    """It says what to give instead."""
    with pytest.raises(ConfigError, match=r"notes.md is no picture and no folder of pictures; give files of"):
        find_pictures([str(folder / "notes.md")])
    with pytest.raises(ConfigError, match=r"nowhere.wav is not a file; give a sound of this machine"):
        read_sound_files([folder / "nowhere.wav"])
