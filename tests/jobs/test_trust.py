"""Code that a root names: no verb runs it unless whoever runs the verb names it, too."""

import json
import re
import shutil
import sys

import pytest

from jobs.cli import VERBS
from jobs.shared.job import load
from pipelines.errors import ConfigError
from pipelines.lookup.search import Lookup
from pipelines.serve.replica import SearchReplica
from pipelines.serve.settings import ServiceSettings
from pipelines.store import versions
from pipelines.store.root import Root
from schemas.dataset import Dataset
from schemas.query import Query
from schemas.strict import Trust
from tests.commands import echolens, write_captions
from tests.in_process import here, job_here

# An encoder of somebody's own, which leaves a file where it is imported.
ENCODER = """
import hashlib
import os
from dataclasses import dataclass

import numpy as np

from pipelines.encode.loaders.custom import CustomEncoder, CustomTower

open(os.environ["WRITTEN"], "a").close()


def piece(item):
    data = item.encode() if isinstance(item, str) else item
    digest = hashlib.sha256(data).digest()
    return np.frombuffer(digest, np.uint8)[None].astype(np.float32) - 128


@dataclass(frozen=True)
class Mine(CustomEncoder):
    bias: float = 0.0
    dims = 32
    preprocessing = "hashed"

    def load(self):
        tower = CustomTower(piece, lambda pieces: pieces + np.float32(self.bias))
        return {"image": tower, "text": tower}


class Other(Mine):
    pass
"""

# Every verb that takes a ROOT, as far as it needs to go to look at it: those that open what it names as an
# encoder, and those that do not.
OPENING = {
    "build": (),
    "refresh": (),
    "lookup": ("--text", "a bell", "--in", "clip_text"),
    "serve": (),
    "generate": ("--text", "a bell"),
    "doctor": (),
    "evaluate": ("--ways", "real", "--direction", "picture->sound"),
}
NOT_OPENING = {
    "plan": (),
    "status": (),
    "train": ("--preset", "shipped", "--set", "nowhere"),
    "translate": ("any",),
    "report": (),
    "export": ("--to", "clip-retrieval", "out"),
    "clean": (),
}
# Verbs that read its lists; of them those that have its rows filtered.
READING = ("plan", "build", "refresh", "doctor")
# What else a root may name: no encoder, or no class.
HOSTILE = ["os:system", "subprocess:Popen", "antigravity:fly"]
HOSTILE += ["theirs:Mine.load", "..theirs:Mine", ":Mine", "theirs:"]
# Those that look into another set of vectors, which may have encoders of its own.
OF_SETS = ("lookup", "serve", "generate")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of ten captions by the encoder `theirs:Mine`: the dataset's file, its root, the module."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "modules").mkdir()
    (folder / "modules" / "theirs.py").write_text(ENCODER)
    file = write_captions(folder, 10)
    ours, theirs = "{clip: pocket, clap: pocket}", "{clip: {loader: 'theirs:Mine'}, clap: null}"
    file.write_text(file.read_text().replace(ours, theirs))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder / "modules")
        patch.setenv("WRITTEN", str(folder / "written"))
        job_here("build", file)
    assert (folder / "written").exists()
    sys.modules.pop("theirs")
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    """A copy of it, as if it came from somebody else."""
    shutil.copytree(made, tmp_path / "theirs", ignore=shutil.ignore_patterns("written", "__pycache__"))
    monkeypatch.syspath_prepend(tmp_path / "theirs" / "modules")
    monkeypatch.setenv("WRITTEN", str(tmp_path / "written"))
    monkeypatch.delitem(sys.modules, "theirs", raising=False)
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "theirs"
    sys.modules.pop("theirs", None)


@pytest.fixture
def written(tmp_path, folder):
    """The file that the module `theirs` leaves as soon as it is imported."""
    return tmp_path / "written"


@pytest.fixture
def file(folder):
    """The dataset's file, with the encoder `theirs:Mine`."""
    return folder / "captions.yaml"


@pytest.fixture
def root(folder):
    """What was built of it."""
    return folder / "data"


def forget(written):
    """Take back that the class was imported."""
    written.unlink(missing_ok=True)
    sys.modules.pop("theirs", None)


def said(verb, *arguments):
    """Run a verb that must not succeed, and return the one line that it says."""
    with here():
        ended = echolens(verb, *arguments, check=False)
    assert 0 != ended.returncode
    assert "" == ended.stdout
    (line,) = ended.stderr.splitlines()
    assert line.startswith("echolens: ")
    return line


def edit(root, change):
    """Change what dataset.json of a root says."""
    path = root / "dataset.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_every_verb_that_opens_a_root_is_tried():
    """The others take no root: a demo and the pocket models make what they need; a schedule is of a file."""
    assert set(VERBS) - {"demo", "pocket", "schedule"} == {*OPENING, *NOT_OPENING}


@pytest.mark.parametrize("near", [(), ("theirs:mine", "Theirs:Mine", "theirs.Mine:Mine", "theirs:Other")])
def test_no_verb_runs_what_a_root_names(root, written, near):
    """Each says so in one sentence that names the class and what to do; a near name is not that class."""
    before = (root / "versions").stat().st_mtime_ns
    trust = [word for name in near for word in ("--trust", name)]
    for verb, arguments in OPENING.items():
        line = said(verb, root, *arguments, *trust)

        assert f"{root}/dataset.json names theirs:Mine as encoder" in line, verb
        assert "add --trust theirs:Mine, or give a dataset file of your own" in line, verb
        assert not written.exists(), verb
    for verb, arguments in NOT_OPENING.items():
        with here():
            ended = echolens(verb, root, *arguments, *trust, check=False)

        assert "names theirs" not in ended.stderr, verb
        assert not written.exists(), verb
    assert "theirs" not in sys.modules
    assert before == (root / "versions").stat().st_mtime_ns


def test_no_verb_runs_what_a_set_of_a_root_names(file, root, written):
    """Neither in a root nor with a file of one's own, which names the encoder of its own set only."""
    edit(root, lambda content: content["encoders"].update(other={"clip": {"loader": "theirs:Other"}}))
    for verb in OF_SETS:
        for target in (root, file):
            trust = ["--trust", "theirs:Mine"]
            line = said(verb, target, *OPENING[verb], "--set", "other", *trust)

            assert f"set 'other' of {root} names theirs:Other as encoder" in line, verb
            assert "add --trust theirs:Other," in line, verb
            assert not written.exists(), verb


@pytest.mark.parametrize(
    ("what", "change", "verbs"),
    [
        ("list", {"sources": [{"kind": "theirs:Other", "list": "captions.csv"}]}, READING),
        ("filter", {"filter": {"own": [{"filter": "theirs:Other"}]}}, READING[1:]),
    ],
)
def test_no_verb_runs_a_class_of_another_sort(root, written, what, change, verbs):
    """A root may name a list or a filter, too; trust in its encoder is none in them."""
    edit(root, lambda content: content["dataset"].update(change))
    for verb in verbs:
        line = said(verb, root, "--trust", "theirs:Mine")

        assert f"{root}/dataset.json names theirs:Other as {what}, and only code" in line, verb
        assert "add --trust theirs:Other, or give a dataset file of your own" in line, verb
    assert not written.exists()


@pytest.mark.parametrize("loader", HOSTILE)
def test_other_things_that_a_root_may_name(root, written, loader):
    """What is a class's name is refused as one; what is none is no encoder at all. Keys do not help."""
    hostile = {"loader": loader, "args": ["touch", str(written)], "command": f"touch {written}"}
    edit(root, lambda content: content["dataset"]["encode"].update(clip=hostile))

    line = said("lookup", root, *OPENING["lookup"])

    assert re.search(
        rf"--trust {loader},|encode\.clip.*(neither a loader of ours nor a class|loader must be)", line
    )
    assert not written.exists()


def test_a_root_does_not_trust_itself(root, written):
    """Whatever else it says, and wherever it says it."""
    edit(root, lambda content: content.update(trusted=["theirs:Mine"], trust=["theirs:Mine"]))
    said("lookup", root, *OPENING["lookup"])
    edit(root, lambda content: content["dataset"]["encode"].update(trusted=["theirs:Mine"]))

    assert "unknown key 'encode.trusted'" in said("lookup", root, *OPENING["lookup"])
    assert not written.exists()


def test_a_file_within_a_root_is_not_ones_own(file, root, written):
    """It came with the root."""
    inner = root / "reports" / "dataset.yaml"
    inner.parent.mkdir()
    shutil.copyfile(file, inner)

    line = said("build", inner)

    assert f"{inner}, a file of the root {root}, names theirs:Mine as encoder" in line
    assert not written.exists()


def test_a_file_decides_and_not_its_root(file, root, written):
    """Where the two differ, the class of the root is neither imported nor asked about."""
    edit(root, lambda content: content["dataset"]["encode"].update(clip={"loader": "no_such:Trap"}))
    edit(root, lambda content: content["encoders"]["main"].update(clip={"loader": "no_such:Trap"}))

    assert "bell rings" in echolens("lookup", file, *OPENING["lookup"], "--k", "10").stdout
    assert written.exists()


def test_what_a_person_names_is_used(file, root, written):
    """With `--trust`, with the file, or with an override, the same rows are found and nothing is remade."""
    question = ("--text", "A bell rings for the 2th time", "--in", "clip_text", "--k", "1")
    ways = (
        ("lookup", root, *question, "--trust", "theirs:Other", "--trust", "theirs:Mine"),
        ("lookup", file, *question),
        ("lookup", file, *question, "--trust", "theirs:Mine", "--set", "main"),
    )
    for way in ways:
        forget(written)
        assert "1.000" in echolens(*way).stdout, way
        assert written.exists(), way

    state = echolens("status", root, "--trust", "theirs:Mine", "--json").stdout
    assert state == echolens("status", root, "--json", "encode.clip.loader=theirs:Mine").stdout
    assert (
        "clip_text" in echolens("status", root, "encode={clip: {loader: 'theirs:Mine'}, clap: null}").stdout
    )
    assert "theirs:Mine" in said("build", root, "encode.clip.bias=0.0")
    for words in ((root, "--trust", "theirs:Mine", "--trust-root"), (file,)):
        assert "nothing new" in job_here("refresh", *words).stderr
        job_here("build", *words)
    assert state == echolens("status", file, "--json").stdout


@pytest.mark.parametrize(
    "name", ["", "theirs", "theirs:Mine.load", "theirs:Mine ", "theirs:Mine,os:system", "*", "*:*"]
)
def test_trust_of_what_is_no_class(root, written, name):
    """It is refused as it is, before the root is opened."""
    assert f"--trust {name!r} names no class; write module:Class" in said("status", root, f"--trust={name}")
    assert not written.exists()


def test_trust_of_what_nobody_asks_for(tmp_path):
    """It changes nothing and imports nothing: a schedule goes on when a set is gone."""
    file = write_captions(tmp_path, 2)

    assert "no_such" not in echolens("plan", file, "--trust", "no_such:Trap").stderr


def test_python_opens_a_root_under_the_same_rule(root, written, tmp_path):
    """`load`, a lookup and a replica of a service, each by itself."""
    content = json.loads((root / "dataset.json").read_text())["dataset"]
    untrusted = Dataset.model_validate(content | {"root": str(root)})
    version = versions.read_current(Root.from_url(str(root)), "main")
    query = Query(text="a bell", into="clip_text")
    named = f"{root}/dataset.json names theirs:Mine as encoder"
    with pytest.raises(ConfigError, match=named):
        Lookup.open(Root.from_url(str(root)), load(str(root)), version).answer(query)
    for lookup in (
        Lookup.open(Root.from_url(str(root)), untrusted, version),
        SearchReplica(untrusted, ServiceSettings(), tmp_path)._current.lookup,
    ):
        with pytest.raises(ConfigError, match=r"encode\.clip names theirs:Mine as encoder"):
            lookup.answer(query)
    assert not written.exists()

    trusting = load(str(root), trust=Trust(frozenset({"theirs:Mine"})))
    assert SearchReplica(trusting, ServiceSettings(), tmp_path)._current.lookup.answer(query).hits


def test_a_schedule_goes_on_trusting(file, root, written):
    """A file of one's own needs nothing; the entry for one that lies in a root has the person's `--trust`."""
    inner = root / "dataset.yaml"
    inner.write_text(file.read_text().replace("root: data", f"root: {root}"))
    how = ("--cron", "@daily", "--to")

    assert "--trust" not in echolens("schedule", file, *how, "crontab").stdout
    assert "add --trust theirs:Mine" in said("schedule", inner, *how, "crontab")
    for scheduler in ("crontab", "systemd"):
        trust = ("--trust", "theirs:Mine", "--trust-root")
        entry = echolens("schedule", inner, *how, scheduler, *trust).stdout.replace('"', "")
        assert f"refresh {inner} --trust theirs:Mine --trust-root" in entry
    assert not written.exists()
