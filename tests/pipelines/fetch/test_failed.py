import errno
import resource
import tempfile

import numpy as np
import pytest

from pipelines.errors import StopJob
from pipelines.fetch.http_client import make_unwritable_error
from pipelines.fetch.stages import FetchImages
from schemas.dataset import Fetch

# Beyond what waits for its decoder in memory.
LARGE = np.random.default_rng(0).bytes(6 * 2**20)


@pytest.fixture
def fetched(server, asking):
    """Fetch a body that is too large to be kept in memory."""
    work = FetchImages(Fetch(allow_private_hosts=True, retries=0)).open()
    yield lambda: work(asking(server.put("large.jpg", LARGE)))
    work.close()


def test_a_full_disk_stops_the_job(fetched):
    """No row is to blame, and every later one would fare the same."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
    try:
        with pytest.raises(StopJob, match=r"^failed/disk_full: .*TMPDIR"):
            fetched()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert ["undecodable"] == fetched()["reason"]


def test_no_folder_for_temporary_files_stops_the_job(fetched, monkeypatch, tmp_path):
    """The sentence says where to look."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))

    with pytest.raises(StopJob, match=r"^failed/no_permission: temporary files cannot be written .*TMPDIR"):
        fetched()


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "disk_full"),
        (errno.EDQUOT, "disk_full"),
        (errno.EFBIG, "disk_full"),
        (errno.EACCES, "no_permission"),
        (errno.EROFS, "no_permission"),
    ],
    ids=lambda value: errno.errorcode[value] if isinstance(value, int) else value,
)
def test_what_a_disk_says(number, reason):
    """A quota is as good as a full disk."""
    assert f"failed/{reason}:" in str(make_unwritable_error(OSError(number, "said")))
