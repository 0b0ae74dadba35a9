"""What a stranger wrote never steers the terminal, and JSON stays the same JSON."""

import importlib
import io
import json
import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from jobs.cli import VERBS
from jobs.lookup import format_hits
from jobs.shared.job import run
from jobs.shared.terminal import SafeStream, format_text, replace_controls, replace_streams
from pipelines.compute import child_process
from pipelines.errors import ConfigError, ListError
from schemas.dataset import Dataset, Fetch, HostLimit
from schemas.query import Hit
from tests.commands import HOME, echolens

TITLE, CLIPBOARD, LINK = "\x1b]0;mine\x07", "\x1b]52;c;cm0gLXJmIH4=\x07", "\x1b]8;;http://evil/\x1b\\here"
TRICKS = [
    TITLE,
    CLIPBOARD,
    LINK,
    "\x9b31m",
    "\x9d0;x\x9c",
    "a\u202egpj.exe",
    "\u2066x",
    "a\bb",
    "a\rb",
    "\x7f",
]
CONTROLS = {
    *map(chr, (*range(9), *range(11, 32), *range(127, 160))),
    *"\u202a\u202b\u202c\u202d\u202e\u2066\u2069",
}


@pytest.mark.parametrize("trick", TRICKS, ids=ascii)
def test_no_control_character_is_printed(trick, capsys):
    """By any print of any verb, to either stream; the streams are as before behind it."""
    before = sys.stdout
    with replace_streams():
        print("caption:", trick)
        print("caption:", trick, file=sys.stderr)
    said = capsys.readouterr()

    assert not CONTROLS & {*said.out, *said.err}
    assert said.out == said.err == f"caption: {replace_controls(trick)}\n"
    assert before is sys.stdout


def test_json_stays_the_same():
    """Escaped as JSON writes them: who reads the output gets the caption as it is."""
    caption = "\x9b\u202e\x7fa bell é 鐘 \U0001f514"
    written = io.StringIO()
    SafeStream(written).write(json.dumps({"caption": caption}, ensure_ascii=False))

    assert {"caption": caption} == json.loads(written.getvalue())
    assert "a bell é 鐘 \U0001f514" in written.getvalue()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8", "utf-16"])
def test_a_terminal_of_few_characters(encoding):
    """What it has no bytes for is escaped, on both streams, and JSON stays the same JSON."""
    caption = "a bell é 鐘 \U0001f514 \u2026 \ud800"
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err), replace_streams():
        print(json.dumps({"caption": caption}, ensure_ascii=False))
        sys.stderr.writelines([f"{caption}\n"])
        sys.stdout.flush()
        sys.stderr.flush()
    printed = out.buffer.getvalue().decode(encoding)

    assert {"caption": caption} == json.loads(printed)
    assert ("\\u00e9" in printed) == (encoding == "ascii")
    assert ("鐘" in printed) == encoding.startswith("utf")
    assert "\\u" in err.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize("verb", [["lookup", "--key", "0000200", "--in", "clip_image"], ["status"]], ids=str)
def test_a_verb_prints_to_ascii(tmp_path, verb):
    """Captions and an error with letters that the terminal lacks: through the frame of every verb."""
    root = tmp_path / "root é鐘"
    shutil.copytree(HOME / "tests" / "data" / "root_2188a47" / "root", root)
    for path in (root / "candidates").glob("*.parquet"):
        table = pq.read_table(path)
        at = table.column_names.index("caption")
        captions = pa.array(["eine Glocke läutet \U0001f514"] * len(table))
        pq.write_table(table.set_column(at, table.schema.field(at), captions), path)
    job = importlib.import_module(f"jobs.{verb[0]}")
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="ascii") for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err), child_process.use_this_process():
        run(job.main, [str(root), *verb[1:]])
        with pytest.raises(SystemExit, match=r"\\u00e9\\u9418") as caught:
            run(job.main, [f"{root}/none", *verb[1:]])
    out.flush()

    assert str(caught.value).isascii()
    assert out.buffer.getvalue()


def test_every_verb_has_the_frame():
    """Which escapes: no verb is run past it."""
    for verb in VERBS:
        text = (HOME / "jobs" / f"{verb}.py").read_text()
        assert text.endswith('if __name__ == "__main__":\n    run(main)\n'), verb


def test_words_of_every_script_are_left():
    """Arabic, its marks that end with a word, joined emoji, tabs and lines; colours are dropped."""
    text = "قطة\u200f\t\U0001f469\u200d\U0001f680\nline\r\n"

    assert text == replace_controls(text) == replace_controls(f"\x1b[36m{text}\x1b[0m")


def test_a_line_stays_a_line():
    """A line feed in a caption would begin a row of its own."""
    hit = Hit(key="1", score=0.5, caption="bell\n  0.999  000  fake\x1b[2J", url="u\u2028v", source="w\rx",
              kind="image", licence="unknown")  # fmt: skip

    assert 1 == len(format_hits([hit]).splitlines())
    assert 10 == len(format_text("x" * 10**6, 10))


def test_a_bar_still_moves():
    """Rich writes to the stream itself."""
    stream = io.StringIO()
    stream.isatty = lambda: True
    console = Console(file=SafeStream(stream), force_terminal=True)
    console.print("[bold]x")

    assert "\x1b[1m" in stream.getvalue()


def test_an_error_is_one_line():
    """Whatever a list has put into it."""

    def main(_):
        raise ListError(f"list begins with 'a\n{CLIPBOARD}b'; mend it")

    with pytest.raises(SystemExit) as caught:
        run(main, [])

    assert "echolens: list begins with 'a \\u001b]52;c;cm0gLXJmIH4=\\u0007b'; mend it" == str(caught.value)


@pytest.mark.parametrize("verb", [["lookup", "--key", "0000200", "--in", "clip_image"], ["status"]], ids=str)
def test_a_verb_shows_a_hostile_root(tmp_path, verb):
    """The captions, kinds and URLs of a root, and the names on its cards, through the real command."""
    root = tmp_path / "root"
    shutil.copytree(HOME / "tests" / "data" / "root_2188a47" / "root", root)
    for path in (root / "candidates").glob("*.parquet"):
        table = pq.read_table(path)
        for name in ("caption", "url", "source", "page_url"):
            values = pa.array([f"x{TITLE}\n{CLIPBOARD}\x9b\u202e"] * len(table))
            table = table.set_column(table.column_names.index(name), table.schema.field(name), values)
        pq.write_table(table, path)
    card = root / "translators" / "words-mlp-cosine-h1"
    card.rename(root / "translators" / f"x{TITLE}")
    # A card at such a place is refused by the verb that reads it, in a sentence that says where.
    done = echolens(*verb[:1], root, *verb[1:], check=False)

    assert not CONTROLS & {*done.stdout, *done.stderr}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("contact", "me@example.org\r\nX-Evil: 1"),
        ("contact", "me@example.org\nHost: evil"),
        ("contact", "a\x1b]0;x"),
        ("contact", "a\x85b"),
        ("contact", "a" * 301),
        ("contact", ""),
        ("fetch", {"timeout_s": float("inf")}),
        ("fetch", {"timeout_s": float("nan")}),
        ("fetch", {"timeout_s": 1e300}),
        ("fetch", {"video": {"timeout_s": float("inf")}}),
        ("fetch", {"limits": {"a.example": {"delay_s": float("inf")}}}),
        ("filter", {"max_aspect": float("inf")}),
        ("filter", {"max_aspect": float("nan")}),
        ("refresh", {"gone_after_h": float("inf")}),
        ("refresh", {"retry_days": {"dead": [float("inf")]}}),
        ("encode", {"segment": {"step_s": float("inf")}}),
        ("index", {"recall": float("nan")}),
        ("index", {"memory": "9" * 5000 + "GiB"}),
    ],
    ids=str,
)
def test_settings_that_are_no_numbers_or_no_line(name, value):
    """A line break in the contact is a header of every request; an infinite wait is no wait."""
    with pytest.raises(ValueError, match=r"finite|at most|less than or equal|a size is"):
        Dataset.model_validate(
            {"name": "x", "root": "/x", "sources": [{"kind": "cc3m", "list": "x"}], name: value}
        )


def test_every_number_of_the_settings_is_finite():
    """The neighbours of those above: no setting that is a float takes what is none."""
    for model in (Fetch, HostLimit):
        for name, field in model.model_fields.items():
            if "float" in str(field.annotation):
                with pytest.raises(ValueError, match="finite"):
                    model.model_validate({name: float("inf")})


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{a: " * 50_000, "- " * 100_000, "x: !!python/object:os.system"]
)
def test_yaml_that_is_nested_too_deeply(tmp_path, text):
    """A file, and an override: one sentence."""
    from jobs.shared.job import load

    file = tmp_path / "x.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"is nested too deeply|is not YAML") as caught:
        load(str(file))
    assert "\n" not in str(caught.value)
    file.write_text("name: x\nroot: /x\nsources: [{kind: cc3m, list: x}]\n")
    with pytest.raises(ConfigError, match=r"the override .* is (nested too deeply|not YAML)"):
        load(str(file), [f"fetch.timeout_s={text}"])
