"""Loads the fixtures that several folders share, and deals the tests to the workers of a run.

A file's tests go to one worker, so that what its module fixtures make is made once. Tests that share what
cannot be made twice, such as a running service, are one group.
"""

from contextlib import ExitStack

import pytest

# A failed assertion in it shows its values, as one in a test does.
pytest.register_assert_rewrite("tests.commands")

# The world comes first: with it come the settings that heavy libraries must find when they are imported.
pytest_plugins = [
    "tests.fixtures.world",
    "tests.fixtures.browser",
    "tests.fixtures.families",
    "tests.fixtures.one_ray",
    "tests.fixtures.generators",
    "tests.fixtures.generators_outside",
    "tests.fixtures.translators",
    "tests.fixtures.versions",
]

# Files that share what a run can have only once: the counts of the world's server, a service with Ray, a page
# with its encoders.
_GROUPS = {
    "world": ("jobs/test_build", "jobs/test_ray_address", "jobs/test_sets"),
    "served": (
        "serve/test_api",
        "serve/test_clip_retrieval",
        "serve/test_fuzz",
        "serve/test_replica",
        "serve/test_deployments",
        "serve/test_hostile_clients",
        "serve/test_python_client",
    ),
    "page": (
        "page/test_search_handlers",
        "page/test_search_tab",
        "page/test_render",
        "page/test_report_policy",
    ),
}
# The groups that take longest begin first, or one worker would end long before the other.
_FIRST = (
    "world",
    "tests/pipelines/train/pocket/test_audioldm.py",
    *(f"tests/jobs/{name}.py" for name in ("test_train", "test_kills", "shared/test_submit", "test_scale")),
    "served",
)
_open, _world = pytest.StashKey[ExitStack](), pytest.StashKey[str]()


def group_of(nodeid: str) -> str:
    """Return the name of the tests that must run in the worker that runs this one: its file or its group."""
    file = nodeid.partition("::")[0]
    for group, ends in _GROUPS.items():
        if file.endswith(tuple(f"{end}.py" for end in ends)):
            return group
    return file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest groups first."""
    order = [*_FIRST, *dict.fromkeys(group_of(item.nodeid) for item in items)]
    items.sort(key=lambda item: order.index(group_of(item.nodeid)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """Deal out groups. `xdist_group` of xdist 3.8 has no effect on pytest 9.2, whose node ids are fixed."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return Groups(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:
    """Tell a worker where the world of the run is served."""
    from pipelines.miniature.server import serving
    from tests.commands import ROWS, SEED
    from tests.fixtures.world import WORLD_PORT
    from tests.ports import free_port

    config = node.config
    if _open not in config.stash:
        config.stash[_open] = ExitStack()
        config.stash[_world] = config.stash[_open].enter_context(
            serving(SEED, ROWS, port=free_port(WORLD_PORT))
        )
    node.workerinput["world"] = config.stash[_world]


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what the run had once."""
    if _open in config.stash:
        config.stash[_open].close()
