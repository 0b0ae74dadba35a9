"""Errors of a deployment reach the page as they were raised."""

import pytest
from ray.exceptions import RayTaskError
from ray.serve.exceptions import BackPressureError

from pipelines.errors import ConfigError, RequestRefusedError
from pipelines.serve.generation_messages import GenerationForm, PageRequest, StepCount
from pipelines.serve.page.client import GenerationClient, ServiceClient

pytestmark = pytest.mark.anyio


class Method:
    """A remote method that yields or raises; a handle has one under every name."""

    def __init__(self, error):
        self.error, self.called = error, []

    def __getattr__(self, name):
        return Call(self, name)

    def options(self, **_):
        return self


class Call:
    def __init__(self, handle, name):
        self.handle, self.name = handle, name

    def remote(self, *args):
        self.handle.called.append((self.name, *args))
        if self.name == "stop":
            return None
        return self.events() if self.name == "generate" else self.fail()

    async def fail(self):
        raise self.handle.error

    async def events(self):
        yield StepCount(1, 2)
        raise self.handle.error


def wrapped(cause):
    """Return an error as Ray raises it."""
    return RayTaskError("answer", "a traceback", cause)


@pytest.mark.parametrize(
    ("expected", "sentence", "error"),
    [
        (ConfigError, "no such column", wrapped(ConfigError("no such column"))),
        (RayTaskError, "a traceback", wrapped(ValueError("a fault"))),
        (RequestRefusedError, "more questions are waiting", BackPressureError(1, 1)),
    ],
    ids=["ours", "a-fault", "busy"],
)
async def test_the_original_error_is_raised(expected, sentence, error):
    """A fault stays Ray's error, with the traceback for the log."""
    with pytest.raises(expected, match=sentence):
        await ServiceClient(Method(error)).describe()


async def test_events_come_before_the_error_and_the_job_is_stopped():
    """However the stream ends, the job is stopped by its name."""
    handle, request = Method(wrapped(ConfigError("no sound"))), PageRequest(text="a bell")
    form = GenerationForm("sound", takes_pictures=True, takes_words=True, length_s=5.0)
    events = GenerationClient(handle, form).generate(request)

    assert StepCount(1, 2) == await anext(events)
    with pytest.raises(ConfigError, match="no sound"):
        await anext(events)
    assert ("stop", request.job) == handle.called[-1]
