"""Places and guards that a root names: they count if a file, an override or a flag of the user gives them."""

import json
import re
import shutil
import socket
import threading

import pytest

from jobs.shared import submit
from jobs.shared.external_media import build_pictures, find_pictures
from jobs.shared.job import load
from pipelines.errors import ConfigError
from pipelines.store.dataset_file import read_spaces
from pipelines.store.root import Root
from schemas.strict import Trust
from tests.commands import HOME, echolens
from tests.in_process import job_here

KEPT = HOME / "tests" / "data" / "root_2188a47"
TEXT = ("--text", "a bell", "--in", "clip_text")
# Of `evaluate`, whose ways and generators open what the root names.
OF_WAYS = ("evaluate", ("--ways", "real", "--direction", "picture->sound"))
# Verbs that read the lists of a root, or fetch.
FETCHING = ("plan", "build", "refresh", "doctor")


@pytest.fixture
def root(tmp_path):
    """A copy of a root that somebody else made; its file and lists did not come with it."""
    shutil.copytree(KEPT / "root", tmp_path / "root")
    return tmp_path / "root"


@pytest.fixture
def asked():
    """The address of a server of this machine, and how often it was asked."""
    server, times = socket.create_server(("127.0.0.1", 0)), []

    def count():
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            times.append(1)
            client.close()

    threading.Thread(target=count, daemon=True).start()
    yield f"127.0.0.1:{server.getsockname()[1]}", times
    server.close()


def edit(root, change):
    """Change what dataset.json of a root says of the dataset."""
    path = root / "dataset.json"
    content = json.loads(path.read_text())
    change(content["dataset"])
    path.write_text(json.dumps(content))


def said(verb, *arguments):
    """Run a verb that must not succeed, and return its one line."""
    ended = job_here(verb, *arguments, check=False)
    assert 0 != ended.returncode
    (line,) = ended.stderr.splitlines()
    assert line.startswith("echolens: ")
    return line


def refusal(source, keys):
    """Return the sentence that lists keys which only a root gives."""
    return (
        f"echolens: {source} gives {keys}, which only you may; add --trust-root if you know it, or give a "
        "dataset file of your own"
    )


@pytest.mark.parametrize("verb", FETCHING)
def test_no_verb_goes_where_a_root_says(root, asked, verb):
    """Exactly what the verb would use is listed, and nothing is asked for or read."""
    place, times = asked
    hostile = {
        "contact": "mallory@example.org",
        "sources": [
            {"kind": "cc3m", "list": f"http://{place}/list.tsv"},
            {"kind": "vggsound", "list": "/etc/passwd", "media": f"http://{place}/{{youtube_id}}.mp4"},
        ],
        "fetch": {
            "allow_private_hosts": True,
            "timeout_s": 80_000,
            "max_pixels": 10**12,
            "image_size": 64,
            "retries": 0,
            "limits": {"upload.wikimedia.org": None},
            "video": {"site": f"http://{place}/{{youtube_id}}", "cookies_file": "/root/cookies"},
        },
    }
    edit(root, lambda content: content.update(hostile))
    keys = (
        "sources.0.list, sources.1.list, sources.1.media, fetch.timeout_s, fetch.max_pixels, contact, "
        "fetch.allow_private_hosts, fetch.limits, fetch.video.site and fetch.video.cookies_file"
    )

    assert refusal(f"{root}/dataset.json", keys) == said(verb, root)
    assert [] == times


def test_what_reads_nothing_else_goes_on(root):
    """Whatever the root says of its lists and of fetching."""
    hostile = {"allow_private_hosts": True, "video": {"proxy": "http://127.0.0.1:9"}}
    edit(root, lambda content: content.update(fetch=hostile, contact="mallory@example.org"))
    for verb, words in (
        ("status", ("--verify",)),
        ("report", ()),
        ("lookup", TEXT),
        ("lookup", ("--key", "0000200", "--in", "clip_image")),
        ("export", ("--to", "clip-retrieval", root.parent / "out")),
        ("clean", ()),
    ):
        assert 0 == echolens(verb, root, *words).returncode, verb


@pytest.mark.parametrize("how", ["flag", "file", "override"])
def test_what_the_user_gives_counts(root, how):
    """The list is read then, and found to be missing; a part that an override gives is not listed."""
    gone = root.parent / "gone.csv"
    edit(
        root,
        lambda content: content.update(sources=[{"kind": "audiocaps", "list": str(gone), "take": "text"}]),
    )
    words = {
        "flag": (root, "--trust-root"),
        "file": (root.parent / "mine.yaml",),
        "override": (root, f"sources.0.list={gone}"),
    }[how]
    (root.parent / "mine.yaml").write_text(
        json.dumps(json.loads((root / "dataset.json").read_text())["dataset"])
    )

    assert "gone.csv" in said("plan", *words)
    assert "which only you may" not in said("plan", *words)
    assert refusal(f"{root}/dataset.json", "sources.0.list") == said("plan", root, "contact=me@example.org")


def test_a_file_within_a_root_is_not_ones_own(root):
    """It came with the root, and so did what it says."""
    inner = root / "mine.yaml"
    content = json.loads((root / "dataset.json").read_text())["dataset"] | {"root": str(root)}
    inner.write_text(json.dumps(content))
    keys = "sources.0.list and sources.1.list"

    assert refusal(f"{inner}, a file of the root {root},", keys) == said("build", inner)
    assert refusal(f"{inner}, a file of the root {root},", keys) == said(
        "schedule", inner, "--cron", "@daily", "--to", "crontab"
    )
    entry = echolens("schedule", inner, "--cron", "@daily", "--to", "crontab", "--trust-root").stdout
    assert f"refresh {inner} --trust-root" in entry


FOREIGN = [
    ({"loader": "open_clip", "model": "ViT-B-32", "weights": "evil/repo/x.pt"}, "weights"),
    ({"loader": "open_clip", "model": "ViT-B-32", "weights": "/etc/passwd"}, "weights"),
    ({"loader": "open_clip", "model": "ViT-B-32", "weights": "x.pt"}, "weights"),
    ({"loader": "open_clip", "model": "hf-hub:evil/repo", "weights": "openai"}, "model"),
    ({"loader": "open_clip", "model": "local-dir:/etc", "weights": "openai"}, "model"),
    ({"loader": "transformers", "weights": "evil/repo"}, "weights"),
    ({"loader": "transformers", "weights": "../x"}, "weights"),
    ({"loader": "transformers", "weights": "x"}, "weights"),
]


@pytest.mark.parametrize(("entry", "key"), FOREIGN)
@pytest.mark.parametrize("where", ["dataset", "set"])
def test_weights_that_only_a_root_names(root, entry, key, where):
    """No verb opens them, of the root's own set or of another; what needs no encoder goes on."""
    if where == "dataset":
        edit(root, lambda content: content["encode"].update(clip=entry))
        source, chosen = f"{root}/dataset.json", ()
    else:
        path = root / "dataset.json"
        content = json.loads(path.read_text())
        encode = {**content["dataset"]["encode"], "clip": entry, "set": "other"}
        path.write_text(json.dumps({**content, "encoders": {"other": encode}}))
        source, chosen = f"set 'other' of {root}", ("--set", "other")
        for manifest in (root / "versions").glob("*.json"):
            manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "set": "other"}))
        shutil.copytree(root / "vectors" / "main", root / "vectors" / "other")

    for verb, words in (("lookup", TEXT), ("serve", ()), ("generate", ("--text", "a bell")), OF_WAYS):
        assert refusal(source, f"encode.clip.{key}") == said(verb, root, *words, *chosen)
    assert 0 == echolens("lookup", root, "--key", "0000200", "--in", "clip_image", *chosen).returncode
    if entry["loader"] == "transformers":
        assert "which only you may" not in said("lookup", root, *TEXT, *chosen, "--trust-root")


@pytest.mark.parametrize(
    ("change", "keys"),
    [
        ({"name": "audioldm", "weights": "evil/repo"}, "generator.weights"),
        ({"name": "vae", "weights": "/etc"}, "generator.weights"),
        ({"name": "theirs:Painter", "file": "~/x"}, "generator.file"),
    ],
)
def test_a_generator_that_only_a_root_names(root, change, keys):
    """It is not opened; that of the command line is."""
    edit(root, lambda content: content.update(generator=change))
    trust = ("--trust", "theirs:Painter") if ":" in change["name"] else ()

    assert refusal(f"{root}/dataset.json", keys) == said("generate", root, "--text", "a bell", *trust)
    assert refusal(f"{root}/dataset.json", keys) == said(*OF_WAYS[:1], root, *OF_WAYS[1], *trust)
    other = said("generate", root, "--text", "a bell", "--generator", "/nowhere/at-all", *trust)
    assert "which only you may" not in other
    assert "/nowhere/at-all" in other


def test_a_contact_of_the_root_is_not_given_to_others(root):
    """Neither by a service that fetches pictures, nor for pictures of the command line."""
    edit(root, lambda content: content.update(contact="mallory@example.org"))
    line = refusal(f"{root}/dataset.json", "contact")

    assert line == said("serve", root, "--allow-image-urls")
    dataset = load(str(root))
    pictures = find_pictures(["http://127.0.0.1:9/x.jpg"])
    space = read_spaces(Root.from_dataset(dataset), "main")["clip_image"]
    with pytest.raises(ConfigError, match=f"{root}/dataset.json gives contact, which only you may"):
        build_pictures(dataset, pictures, "clip_image", space)


def test_a_root_cannot_say_that_it_is_trusted(root):
    """By whatever key."""
    for key in ("given_trust", "_given_trust", "trust_root", "links"):
        edit(root, lambda content, key=key: content.update({key: True}))
        assert "unknown key" in said("status", root)
        edit(root, lambda content, key=key: content.pop(key))
    assert load(str(root)).given_trust.root_keys
    assert not load(str(root), trust=Trust(whole_root=True)).given_trust.root_keys


SUBMITTED = {
    "build": (),
    "refresh": ("--publish",),
    "train": ("--preset", "shipped"),
    "translate": ("any",),
    "generate": ("--text", "a bell"),
    "evaluate": ("--ways", "real", "--direction", "picture->sound"),
}


@pytest.mark.parametrize("verb", SUBMITTED)
def test_trust_travels_to_a_cluster(root, monkeypatch, verb):
    """The command there trusts what the person trusts here; what they do not trust is not submitted."""
    commands = []
    monkeypatch.setattr(submit, "_connect", lambda address: address)
    monkeypatch.setattr(submit, "_start_job", lambda *words: commands.append(words[2]))
    monkeypatch.setattr(submit, "_follow", lambda *_: 0)
    edit(root, lambda content: content["encode"].update(clip={"loader": "theirs:Mine"}))
    words = (root, *SUBMITTED[verb], "--address", "http://head:8265")

    if verb in ("build", "refresh", "generate", "evaluate"):
        said(verb, *words)
        assert [] == commands
    trust = ("--trust", "theirs:Mine", "--trust-root", "--trust=theirs:Other", f"--allow-links={root}")
    assert 0 == echolens(verb, *words, *trust).returncode
    (command,) = commands
    assert ["theirs:Mine", "theirs:Other"] == re.findall(r"--trust (\S+)", command)
    assert 1 == command.count("--trust-root")
    assert [f"{root}"] == re.findall(r"--allow-links (\S+)", command)
    assert f"jobs.{verb} {root} " in command
