"""A root that somebody made to harm: no verb reads, moves or removes anything outside of it, or hangs."""

import json
import os
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.maintain.verify import find_damage, quarantine
from pipelines.store.models import read_model
from pipelines.store.root import Root
from pipelines.store.trust import find_enclosing_root
from pipelines.store.versions import read_version
from tests.commands import HOME, echolens, write_captions
from tests.in_process import job_here

KEPT = HOME / "tests" / "data" / "root_2188a47"
TRANSLATOR = "words-mlp-cosine-h1"

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def root(tmp_path):
    """A copy of a root, beside files that are none of its business."""
    shutil.copytree(KEPT / "root", tmp_path / "root")
    (tmp_path / "victim" / "data").mkdir(parents=True)
    for name in ("id_rsa", "data/mine.parquet", "data/00000.parquet", "data/00000.tar"):
        (tmp_path / "victim" / name).write_bytes(b"mine")
    return tmp_path / "root"


@pytest.fixture
def victim(root):
    """These files; they are all there, unchanged, when the test ends."""
    folder = root.parent / "victim"

    def read():
        return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

    before = read()
    yield folder
    assert before == read()


def refused(verb, *arguments):
    """Run a verb that must not succeed, and return its one line."""
    ended = echolens(verb, *arguments, check=False)
    assert 0 != ended.returncode
    (line,) = ended.stderr.splitlines()
    assert line.startswith("echolens: ")
    return line


def replace_with_link(path, target):
    """Put a link in the place of a file or a folder."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.symlink_to(target)


LOOKUP = ("--text", "a bell", "--in", "clip_text")
# What is read first by some verb, and by which.
READ = [
    ("dataset.json", "status", ()),
    ("versions/0002.json", "status", ()),
    ("versions/0002.parquet", "report", ()),
    ("versions", "status", ()),
    ("vectors/main", "report", ()),
    ("media/00000.parquet", "report", ()),
    ("indices/main/0002/clip_text.faiss", "lookup", LOOKUP),
    ("indices/main/0002/clip_text.json", "lookup", LOOKUP),
    ("candidates/00001.parquet", "lookup", LOOKUP),
    ("vectors/main/00001.parquet", "export", ("--to", "clip-retrieval", "OUT")),
    (f"translators/{TRANSLATOR}/card.json", "translate", (TRANSLATOR,)),
    ("plan/counts.json", "clean", ()),
    ("plan", "clean", ()),
]


@pytest.mark.parametrize(("name", "verb", "arguments"), READ)
@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_what_a_verb_reads_is_a_file_of_the_root(root, victim, name, verb, arguments, kind):
    """A link, or a FIFO that nobody writes to, in its place is one sentence that names it."""
    path = root / name
    if kind == "link":
        replace_with_link(path, victim / ("data" if path.is_dir() else "id_rsa"))
    else:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        os.mkfifo(path)
    words = [str(root.parent / "out") if word == "OUT" else word for word in arguments]

    line = refused(verb, root, *words)

    assert f"{path}' is a {'link to' if kind == 'link' else 'FIFO'}" in line


@pytest.mark.parametrize("verb", ["report", "export"])
def test_what_a_verb_writes_stays_in_the_root(root, victim, verb):
    """A folder of the root that leads out of it takes no report, and no record of a run."""
    shutil.rmtree(root / "runs")
    (root / "runs").symlink_to(victim)
    (root / "reports").symlink_to(victim)

    to = ("--to", "clip-retrieval", root.parent / "out") if verb == "export" else ()
    ended = echolens(verb, root, *to, check=False)

    assert (verb == "report") == ("is a link to" in ended.stderr)


FOLDERS = ["candidates", "vectors/main", "indices/main", "translators", "reports", "generated"]


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("allowed", [False, True])
def test_clean_follows_no_link(root, victim, folder, allowed):
    """Whether the user lets links be read through or not: what is behind one is no garbage."""
    path = root / folder
    path.parent.mkdir(exist_ok=True)
    if path.is_dir():
        shutil.rmtree(path)
    path.symlink_to(victim / "data")
    (root / "versions" / ".tmp-link").symlink_to(victim / "id_rsa")

    ended = echolens("clean", root, "--yes", *(("--allow-links", victim) if allowed else ()), check=False)

    assert "mine.parquet" not in ended.stdout
    assert path.is_symlink()
    if allowed:
        assert 0 == ended.returncode, ended.stderr


def test_clean_removes_what_no_version_names_all_the_same(root, victim):
    """The other files go, and a link beside them stays."""
    shutil.copyfile(root / "candidates" / "00000.parquet", root / "candidates" / "00009.parquet")
    (root / "candidates" / "00008.parquet").symlink_to(victim / "data" / "mine.parquet")

    said = echolens("clean", root, "--yes").stdout

    assert "candidates/00009.parquet" in said
    assert "00008" not in said
    assert not (root / "candidates" / "00009.parquet").exists()
    assert (root / "candidates" / "00008.parquet").is_symlink()


PATHS = [
    "vectors/../../victim/data/mine.parquet",
    "/etc/passwd",
    "media/\n",
    "..",
    "media//00000.tar",
    "a\\b",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_manifest_names_files_of_the_root(root, victim, path):
    """In the table of its shards and in the manifest itself: nothing is compared with it, or set aside."""
    name = root / "versions" / "0002.parquet"
    lines = pq.read_table(name)
    rows = lines.to_pylist()
    next(row for row in rows if row["path"] == "vectors/main/00001.parquet")["path"] = path
    pq.write_table(pa.Table.from_pylist(rows, schema=lines.schema), name)
    assert "versions/0002.parquet of" in refused("status", root, "--verify")
    assert "names the file" in refused("status", root, "--verify")
    shutil.copyfile(KEPT / "root" / "versions" / "0002.parquet", name)
    manifest = root / "versions" / "0002.json"
    content = json.loads(manifest.read_text())
    content["tables"][0]["path"] = path
    manifest.write_text(json.dumps(content))
    assert "0002.json is damaged" in refused("status", root)
    assert "0002.json is damaged" in refused("clean", root, "--yes")


def test_damage_is_set_aside_by_renaming(root, victim):
    """Of a link the link is, and nothing that it leads to."""
    replace_with_link(root / "vectors" / "main" / "00001.parquet", victim / "data" / "00000.parquet")
    there = Root.from_url(str(root))
    damaged = [file for file in find_damage(there, [read_version(there, 2)]) if file.shard == 1]
    assert ["vectors/main/00001.parquet"] == [file.path for file in damaged]
    with pytest.raises(Exception, match="is a link to"):
        quarantine(there, damaged)
    there.move("vectors/main/00001.parquet", "runs/x-set-aside/00001.parquet")
    assert (root / "runs" / "x-set-aside" / "00001.parquet").is_symlink()


CHANGES = [
    ("versions/0002.json", {"set": "../../victim"}, "status"),
    ("versions/0002.json", {"number": 1}, "status"),
    ("versions/0002.json", {"plan": "../victim"}, "status"),
    (f"translators/{TRANSLATOR}/card.json", {"name": "../../../escaped"}, "translate"),
    (f"translators/{TRANSLATOR}/card.json", {"name": "other"}, "translate"),
    (f"translators/{TRANSLATOR}/card.json", {"weights_sha256": "../../../../x"}, "translate"),
    (f"translators/{TRANSLATOR}/card.json", {"set": "../x"}, "translate"),
]


@pytest.mark.parametrize(("name", "change", "verb"), CHANGES)
def test_names_in_cards_and_manifests(root, victim, name, change, verb):
    """They become parts of paths, and are names alone."""
    content = json.loads((root / name).read_text())
    (root / name).write_text(json.dumps(content | change))
    shutil.rmtree(root / "runs")
    before = sorted(root.parent.rglob("*"))

    line = refused(verb, root, *([TRANSLATOR] if verb == "translate" else ()))

    assert name.rpartition("/")[2] in line
    shutil.rmtree(root / "runs", ignore_errors=True)
    assert before == sorted(root.parent.rglob("*"))


def test_a_card_leads_to_no_other_model(root):
    """The name in it is that of its folder."""
    (root / "models" / "it").mkdir(parents=True)
    card = {"name": "../../x", "task": {}, "recipe": {"steps": 1}, "steps": 1, "seconds": 1, "loss": None}
    (root / "models" / "it" / "card.json").write_text(json.dumps(card | {"parameters": 1, "files": {}}))

    with pytest.raises(Exception, match=r"card\.json is damaged"):
        read_model(Root.from_url(str(root)), "it")


def test_links_of_ones_own_disk(root):
    """With --allow-links the same answers come from files that lie elsewhere; without it, one sentence."""
    question = (*LOOKUP, "--json")
    said = echolens("lookup", root, *question).stdout
    elsewhere = root.parent / "disk"
    elsewhere.mkdir()
    for name in ("candidates", "media", "vectors", "indices"):
        shutil.move(root / name, elsewhere / name)
        (root / name).symlink_to(elsewhere / name)

    assert f"add --allow-links '{elsewhere}'" in refused("lookup", root, *question)
    assert said == echolens("lookup", root, *question, "--allow-links", elsewhere).stdout
    echolens("status", root, "--verify", "--allow-links", elsewhere)
    assert "allows a root every file" in refused("lookup", root, *question, "--allow-links", "/")
    assert "is a link to" in refused("lookup", root, *question, "--allow-links", elsewhere / "media")


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("dataset-2.json")])
def test_a_file_of_a_root_whose_description_is_none(root, make):
    """It is a file of a root all the same, and looking for that waits for nobody."""
    (root / "dataset.json").rename(root / "dataset-2.json")
    make(root / "dataset.json")

    assert root == find_enclosing_root(root / "mine.yaml")


def test_a_build_through_links_of_ones_own(root):
    """What is built anew lies behind them, as by workers, which get the root as it was opened."""
    file = write_captions(root.parent, 10)
    for name in ("candidates", "vectors"):
        (root.parent / "disk" / name).mkdir(parents=True)
        (root.parent / "data").mkdir(exist_ok=True)
        (root.parent / "data" / name).symlink_to(root.parent / "disk" / name)

    ended = job_here("build", file, check=False)
    assert 0 != ended.returncode
    assert "is a link to" in ended.stderr
    job_here("build", file, "--allow-links", root.parent / "disk")
    assert (root.parent / "disk" / "vectors" / "main" / "00000.parquet").is_file()
    assert "nothing new" in job_here("refresh", file, "--allow-links", root.parent / "disk").stderr
