"""What must not grow with the rows, and the demo from nothing to a sound."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile
import yaml

from tests.commands import command, digest, status

COMMAND = Path(sys.executable).parent / "echolens"
MIB = 2**20


def lists(folder: Path, rows: int) -> Path:
    """A dataset of `rows` rows that need no server: a fifth captions, the rest on hosts that do not exist."""
    folder.mkdir()
    texts = rows // 5
    with (folder / "train.csv").open("w") as file:
        file.write("audiocap_id,youtube_id,start_time,caption\n")
        for row in range(texts):
            file.write(f"{row},id{row:09d},{row % 300},A dog barks {row} times while a bell is ringing\n")
    with (folder / "cc3m.tsv").open("w") as file:
        for row in range(rows - texts):
            file.write(f"two red bells number {row} in a meadow\thttp://host{row % 997}.invalid/{row}.jpg\n")
    content = {
        "name": "scale",
        "root": "data",
        "sources": [
            {"kind": "audiocaps", "list": "train.csv", "take": "text"},
            {"kind": "cc3m", "list": "cc3m.tsv"},
        ],
        "fetch": {"allow_private_hosts": True},
        "encode": {"clip": "pocket", "clap": "pocket"},
    }
    (folder / "scale.yaml").write_text(yaml.safe_dump(content))
    return folder / "scale.yaml"


def peak_of_driver(file: Path) -> float:
    """Build, and return the most memory that the driver itself ever held, in MiB."""
    peak_kib = 0
    with subprocess.Popen([COMMAND, "build", file], stdout=subprocess.DEVNULL) as driver:
        while driver.poll() is None:
            try:
                fields = Path(f"/proc/{driver.pid}/status").read_text().split()
                peak_kib = max(peak_kib, int(fields[fields.index("VmHWM:") + 1]))
            except (OSError, ValueError):
                break
            time.sleep(0.05)
        assert 0 == driver.wait()
    return peak_kib * 1024 / MIB


@pytest.mark.parametrize(
    ("rows", "most_mib"),
    [
        pytest.param(40_000, 20, marks=pytest.mark.slow),
        pytest.param(100_000, 50, marks=pytest.mark.bench),
    ],
)
def test_the_drivers_memory_does_not_grow_with_rows(tmp_path, rows, most_mib):
    """With many rows the driver holds at most 500 bytes a row more than with 1,000, and no row is lost."""
    small, large = lists(tmp_path / "small", 1_000), lists(tmp_path / "large", rows)
    few, many = peak_of_driver(small), peak_of_driver(large)
    numbers = status(tmp_path / "large" / "data")
    print(f"\ndriver: {few:.0f} MiB at 1,000 rows, {many:.0f} MiB at {rows:,}")

    assert {"ok": rows // 5, "dead/no_such_host": rows - rows // 5} == numbers["reasons"]
    assert many - few <= most_mib


@pytest.mark.slow
def test_demo_goes_from_nothing_to_the_sound_of_a_picture(tmp_path):
    """`echolens demo` prints funnel, answers and paths; asked again it finds everything done."""
    folder = tmp_path / "demo"
    first = command("demo", folder, "--rows", 200).stdout
    made = digest(folder / "data")
    again = command("demo", folder, "--rows", 200).stdout

    assert "candidates" in first
    assert "the sound of the sea" in first
    assert list((folder / "data" / "reports").glob("*.html"))
    assert made == digest(folder / "data")
    assert first.splitlines()[:5] == again.splitlines()[:5]
    assert "Try next: " in again
    (heard,) = folder.glob("*-generated.flac")
    assert 5.12 == pytest.approx(soundfile.info(heard).duration)
    assert f"lookup --audio {heard.name} --in clap_text" in again
