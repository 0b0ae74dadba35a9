import json

import cv2
import numpy as np

from tests.commands import echolens


def described(folder, **source):
    """Write a dataset file over one picture."""
    (folder / "pictures").mkdir()
    cv2.imwrite(str(folder / "pictures" / "red bell.png"), np.zeros((80, 80, 3), np.uint8))
    file = folder / "bells.yaml"
    content = {
        "name": "bells",
        "root": "data",
        "sources": [{"kind": "folder", "list": "pictures"} | source],
        "encode": {"clip": "pocket", "clap": "pocket"},
    }
    file.write_text(json.dumps(content))
    return file


def test_a_dataset_that_can_be_built(tmp_path):
    """Each thing is looked at, a Ray really starts, and nothing of the root is written."""
    ended = echolens("doctor", described(tmp_path), "--json")
    found = {finding["name"]: finding for finding in json.loads(ended.stdout)}

    assert [
        "ffmpeg",
        "yt-dlp",
        "proxy",
        "javascript",
        "gpu",
        "hub",
        "weights",
        "contact",
        "lists",
        "disk",
        "ray",
    ] == [*found]
    assert "missing" not in {finding["state"] for finding in found.values()}
    assert "1 rows, 1 to bring through" == found["lists"]["found"]
    assert found["weights"]["found"].startswith("open_clip:pocket@")
    assert not (tmp_path / "data").exists()


def test_what_is_missing_is_the_exit_code(tmp_path, monkeypatch):
    """A line for each thing, none of them a traceback; the job ends with 1."""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    ended = echolens("doctor", described(tmp_path, list="nowhere"), check=False)
    lines = {line.split()[1]: line for line in ended.stdout.splitlines()}

    assert 1 == ended.returncode
    assert lines["lists"].startswith("missing lists       folder ")
    assert "no Ray cluster answers at RAY_ADDRESS=127.0.0.1:1" in lines["ray"]
    assert lines["ffmpeg"].startswith("ok      ffmpeg ")


def test_an_encoder_of_ones_own(tmp_path, monkeypatch):
    """Its module is looked for where the person is; what it lacks is missing."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "halfway.py").write_text("class Nothing:\n    pass\n")
    ended = echolens("doctor", "--encoder", "halfway:Nothing", "--json", check=False)
    findings = json.loads(ended.stdout)

    assert 1 == ended.returncode
    assert {"encoder"} == {finding["name"] for finding in findings}
    assert "missing" in {finding["state"] for finding in findings}
    assert "key=value" in echolens("doctor", "--encoder", "halfway:Nothing", "a.yaml", check=False).stderr
