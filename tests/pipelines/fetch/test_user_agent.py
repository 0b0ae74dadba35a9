import pytest

from pipelines.errors import ConfigError
from pipelines.fetch.stages import FetchImages
from schemas.dataset import Fetch

OPEN = Fetch(timeout_s=2, retries=0, allow_private_hosts=True)
STRICT = OPEN.model_copy(update={"allow_private_hosts": False})


@pytest.mark.parametrize("fetch", [OPEN, STRICT], ids=["private-hosts-allowed", "private-hosts-refused"])
def test_public_hosts_need_a_contact(asking, fetch):
    """Nobody is asked anonymously, whether or not private hosts are allowed."""
    work = FetchImages(fetch).open()
    with pytest.raises(ConfigError, match="has no contact"):
        work(asking("http://192.31.196.1/a.jpg"))
    work.close()


def test_we_say_who_we_are(server, asking):
    """The User-Agent names program, contact and library, as Wikimedia's policy asks."""
    work = FetchImages(OPEN, "me@example.org").open()
    work(asking(server.url("put/plain.jpg")))
    work.close()

    name, contact, library = server.headers[0]["User-Agent"].split(" ")
    assert (name.split("/")[0], contact, library.split("/")[0]) == ("Echolens", "(me@example.org)", "aiohttp")
