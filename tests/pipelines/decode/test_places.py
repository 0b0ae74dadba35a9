"""Where media of strangers are decoded, and where ffmpeg is started: in one room, and in one file."""

import ast
from pathlib import Path

from tests.commands import HOME

SOURCES = sorted(path for package in ("pipelines", "jobs") for path in (HOME / package).rglob("*.py"))
# They decode what this program has just made: worlds and their exams, frames of ffmpeg, a FLAC to be checked.
OWN = {
    "pipelines/fetch/video/clip.py",
    "pipelines/fetch/video/ffmpeg.py",
    "pipelines/train/pocket/clip_eval.py",
    "pipelines/train/pocket/judge_data.py",
}
DECODERS = {
    "Image.open",
    "cv2.imdecode",
    "cv2.imread",
    "soundfile.read",
    "soundfile.info",
    "soundfile.SoundFile",
}


def below_home(path: Path) -> str:
    return path.relative_to(HOME).as_posix()


def find_decoding(path: Path) -> list[str]:
    """Return the places in a file that decode a picture or a sound by a library."""
    return [
        f"{path.name}:{node.lineno}"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in DECODERS
    ]


def test_media_are_decoded_in_one_room(tmp_path):
    """What is counted before it is decoded, is so wherever it comes from."""
    decoding = tmp_path / "decoding.py"
    decoding.write_text("Image.open(file)\nsoundfile.SoundFile(file)\nread = cv2.imdecode\n")

    assert [f"decoding.py:{line}" for line in (1, 2, 3)] == sorted(find_decoding(decoding))
    places = {below_home(path) for path in SOURCES if find_decoding(path)}
    ours = ("pipelines/decode/", "pipelines/miniature/")
    assert OWN == {name for name in places if not name.startswith(ours)}


def find_runs_of_ffmpeg(path: Path) -> list[str]:
    """Return the places in a file that start ffmpeg or ffprobe, look for one, or open an input of it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        names = set()
        if isinstance(node, ast.Import):
            names = {alias.name for alias in node.names} & {"ffmpeg", "imageio_ffmpeg"}
        elif isinstance(node, ast.ImportFrom):
            names = {str(node.module), *(alias.name for alias in node.names)} & {"ffmpeg", "imageio_ffmpeg"}
            # A module of ours has the same name.
            names -= {"ffmpeg"} if str(node.module).startswith("pipelines.") else set()
            names |= {alias.name for alias in node.names} & {"find_ffmpeg", "get_ffmpeg_exe"}
        elif isinstance(node, ast.Call):
            said = [each for part in node.args for each in ast.walk(part) if isinstance(each, ast.Constant)]
            names = {each.value for each in said} & {"ffmpeg", "ffprobe"} if is_starting(node.func) else set()
        found += [(node.lineno, f"{path.name}:{node.lineno}")] if names else []
    return [place for _, place in sorted(found)]


def is_starting(function: ast.expr) -> bool:
    """Return whether a function starts a program, or finds one."""
    name = getattr(function, "attr", getattr(function, "id", ""))
    return name in {"run", "Popen", "call", "check_call", "check_output", "which", "system", "execvp"}


def test_ffmpeg_is_started_in_one_place(tmp_path):
    """Whitelists and limits are there; only the miniature world has its own, to make media of its own."""
    starting = tmp_path / "starting.py"
    starting.write_text(
        'import ffmpeg\nfrom imageio_ffmpeg import get_ffmpeg_exe\nsubprocess.run(["ffprobe", path])\n'
        'shutil.which("ffmpeg")\nfrom pipelines.fetch.video.ffmpeg_process import find_ffmpeg\n'
        "from pipelines.fetch.video import ffmpeg\n"
    )

    assert [f"starting.py:{line}" for line in range(1, 6)] == find_runs_of_ffmpeg(starting)
    places = {below_home(path) for path in SOURCES if find_runs_of_ffmpeg(path)}
    assert {name for name in places if not name.startswith("pipelines/miniature/")} == {
        "pipelines/fetch/video/ffmpeg_process.py"
    }
