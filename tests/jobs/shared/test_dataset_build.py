import json
import shutil

from tests.commands import echolens


def test_an_index_that_finds_too_little_is_named(built, tmp_path):
    """A build says so on stderr, with what to do; what was asked for is there all the same."""
    root = tmp_path / "data"
    shutil.copytree(built.root, root)
    path = root / "indices" / "main" / "0001" / "clip_image.json"
    card = json.loads(path.read_text())
    path.write_text(json.dumps(card | {"recall_wanted": 1.1}))
    whole = json.loads((root / "versions" / "0001.json").read_text())
    for entry in whole["indices"]:
        if entry["path"].endswith("clip_image.json"):
            entry["bytes"] = path.stat().st_size
    (root / "versions" / "0001.json").write_text(json.dumps(whole))

    ended = echolens("build", built.file, f"root={root}")

    assert "echolens: the index of clip_image finds 1.000 of the ten nearest" in ended.stderr
    assert "(Flat) and 1.1 was wanted; give index.memory more" in ended.stderr
    assert "clip_text" not in ended.stderr
