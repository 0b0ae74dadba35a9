"""Pictures built to take long: a host that sends little else is left alone by this run."""

from pipelines.errors import UndecodableMediaError
from pipelines.fetch import image
from pipelines.fetch.refusals import RefusalBudget
from pipelines.fetch.stages import FetchImages
from schemas.dataset import Fetch
from tests.pipelines.fetch.pictures import draw_picture, save_picture
from tests.pipelines.fetch.raw_server import RawServer, make_answer


def test_a_host_that_gives_much_may_cost_something():
    """One of 40 pictures may be costly; five may at once."""
    budget = RefusalBudget()
    for _ in range(5):
        budget.refuse("a.example")
    assert not budget.is_spent("a.example")
    budget.refuse("a.example")
    assert budget.is_spent("a.example")
    assert not budget.is_spent("b.example")
    for _ in range(40):
        budget.accept("a.example")
    assert not budget.is_spent("a.example")


def test_a_host_of_costly_pictures_is_not_asked_again(monkeypatch):
    """Six are decoded; the others are left for another run."""

    def refuse(*_):
        raise UndecodableMediaError("too_complex")

    monkeypatch.setattr(image, "COSTLY_S", -1.0)
    monkeypatch.setattr(image, "decode_pixels", refuse)
    picture = save_picture(draw_picture(32, 32), "P", "GIF")
    answer = make_answer("HTTP/1.1 200 OK", f"Content-Length: {len(picture)}", body=picture)
    with RawServer(answer) as server:
        urls = [server.url(f"{number}.gif") for number in range(10)]
        work = FetchImages(Fetch(timeout_s=5, retries=0, allow_private_hosts=True), None).open()
        outcomes = []
        for url in urls:
            done = work(
                {"source": ["cc3m"], "url": [url], "media_url": [url], "outcome": ["ok"], "reason": [""]}
            )
            outcomes.append((done["outcome"][0], done["reason"][0]))
        work.close()

    assert [("invalid", "too_complex")] * 6 + [("transient", "timeout")] * 4 == outcomes
    assert 6 == len(server.heads)
