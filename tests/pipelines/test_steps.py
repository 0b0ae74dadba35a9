"""The steps of a build know what their stages need before anything runs."""

import pytest

from pipelines.encode.encode import Prepare
from pipelines.errors import ConfigError
from pipelines.filter.pictures import FilterPictures
from pipelines.steps import MediaStep, VectorStep
from pipelines.storage import Root


def test_a_chain_in_the_wrong_order_is_refused_where_it_is_made(tmp_path):
    """A filter that reads what only fetching makes cannot come first: no worker is needed to see it."""
    with pytest.raises(ConfigError, match="put the stage that makes them before it"):
        MediaStep(Root.at(str(tmp_path)), 100, {"image": (FilterPictures(64, 4.0),)})


def test_a_chain_of_another_kind_is_refused(tmp_path):
    """A caption has no width: the chain of clips is nothing for texts."""
    with pytest.raises(ConfigError, match=r"reads .*'width'"):
        VectorStep(Root.at(str(tmp_path)), 100, {"text": (Prepare("clip", {}),)}, "main", {}, 8)
