"""What no kept version names is removed, and readers do not notice."""

from pipelines.lookup.search import Lookup
from pipelines.maintain.clean import clean
from pipelines.maintain.verify import find_damage, read_all_versions
from pipelines.store import versions
from schemas.query import Query
from tests.by_hand import pictures, vector


def test_clean_says_what_would_go_and_then_removes_just_that(own_versions):
    """Old versions, their indices and half-written files; nothing that a kept version names."""
    root = own_versions.at()
    root.write("media/.tmp-0-00000.tar", b"half")
    root.write("generated/mine/prompts/.tmp-1-00000.parquet", b"half")
    root.write("generated/mine/00000.tar", b"a person's")
    root.write("generated/pictures.0123.tar", b"a file beside the folders")
    root.write("translators/lease.json", b"of a training that was killed")
    root.write("media/00009.tar", b"of no plan")
    before = {path for path in (own_versions.folder / "data").rglob("*") if path.is_file()}
    said = clean(root, keep=1, yes=False)
    untouched = {path for path in (own_versions.folder / "data").rglob("*") if path.is_file()}
    clean(root, keep=1, yes=True)
    after = {path for path in (own_versions.folder / "data").rglob("*") if path.is_file()}

    assert before == untouched
    assert {own_versions.folder / "data" / one.path for one in said} == before - after
    said_of = {one.path for one in said}
    assert {"media/.tmp-0-00000.tar", "media/00009.tar", "versions/0001.json"} <= said_of
    assert ["generated/mine/prompts/.tmp-1-00000.parquet"] == [
        path for path in said_of if path.startswith("generated/")
    ]
    assert [] == find_damage(root, read_all_versions(root), compare_hashes=True)
    assert not clean(root, keep=1, yes=False)


def test_a_reader_of_a_version_reads_it_to_the_end(own_versions):
    """While the next one is published and the first one is cleaned away."""
    root, dataset = own_versions.at(), own_versions.dataset()
    lookup = Lookup.open(root, dataset, versions.read_version(root, 2))
    query = tuple(vector("question").tolist())
    before = lookup.answer(Query(vector=query, into="clip_image", k=5))
    own_versions.lists(pictures("cdefghijklmnop"), texts=3)
    own_versions.refresh()
    clean(root, keep=2, yes=True)
    late = Lookup.open(root, dataset, versions.read_version(root, 2))

    assert [2, 3] == versions.list_numbers(root)
    assert before == lookup.answer(Query(vector=query, into="clip_image", k=5))
    assert before == late.answer(Query(vector=query, into="clip_image", k=5))
    assert lookup.answer(Query(vector=query, into="clip_text", k=5)).hits
    assert [] == find_damage(root, read_all_versions(root), compare_hashes=True)
