"""`lookup --words`: what a picture and a sound are, of a list of words."""

import json

import pytest

from pipelines.miniature.media import picture_file, sound_file
from pipelines.miniature.world import KINDS, draw_heldout
from tests.commands import HOME, echolens

ROOT = HOME / "tests" / "data" / "root_2188a47" / "root"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A picture and a sound of a held-out scene, and the kinds of the world as a list."""
    folder, scene = tmp_path_factory.mktemp("files"), draw_heldout(0, 1)
    (folder / "seen.jpg").write_bytes(picture_file(scene))
    (folder / "heard.wav").write_bytes(sound_file(scene))
    (folder / "kinds.txt").write_text("# of the miniature world\n" + "\n".join(KINDS))
    return folder


def ask(*arguments, check=True):
    return echolens("lookup", ROOT, *arguments, check=check)


def test_a_picture_and_a_sound_are_named_alike_each_time(files):
    """Both of one kind, with scores that fall; twice the same bytes."""
    kinds, right = files / "kinds.txt", draw_heldout(0, 1).kind
    for media in (("--image", files / "seen.jpg"), ("--audio", files / "heard.wav")):
        once, again = (ask(*media, "--words", kinds, "--k", 3).stdout for _ in range(2))
        found = json.loads(ask(*media, "--words", kinds, "--k", 3, "--json").stdout)

        assert once == again
        assert [line.split(maxsplit=1)[1] for line in once.splitlines()] == [each["word"] for each in found]
        assert found[0]["word"] == right
        assert found[0]["score"] > found[1]["score"] >= found[2]["score"]


def test_a_list_that_ships_is_named_by_its_name(files):
    assert (
        len(ask("--audio", files / "heard.wav", "--words", "instruments", "--k", 5).stdout.splitlines()) == 5
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--text", "a bell", "--words", "animals"), "give --image or --audio"),
        (("--words", "animals", "--k", "0"), "--k 0 is no number of words"),
        (("--words", "animals", "--via", "default"), "--via has no meaning"),
        (("--words", "animals", "--in", "clip_image"), "--in clip_image has no vectors of audio"),
        (("--words", "nothing"), "is no file and no list that ships"),
    ],
)
def test_what_cannot_be_named_is_refused(files, arguments, expected):
    given = arguments if "--text" in arguments else ("--audio", files / "heard.wav", *arguments)
    refused = ask(*given, check=False)

    assert refused.returncode != 0
    assert expected in refused.stderr
