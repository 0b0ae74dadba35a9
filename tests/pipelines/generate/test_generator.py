"""The parameters of a sampler."""

import pytest

from pipelines.errors import ConfigError
from pipelines.generate.generator import SamplingParams


def test_no_steps_are_refused():
    """A diffusion of no steps is noise."""
    with pytest.raises(ConfigError, match=r"steps is 0.*10"):
        SamplingParams(steps=0)
