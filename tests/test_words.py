"""The words of the house, as far as a machine can check them."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

from tests.commands import HOME

SOURCES = sorted(
    path for package in ("schemas", "pipelines", "jobs") for path in (HOME / package).rglob("*.py")
)

# What the name of a function begins with. `as_`, `from_`, `on_`, `to_` and `with_` are what Python calls
# converters, constructors, event handlers and copies.
VERBS = frozenset(
    re.findall(
        r"\w+",
        """
    accept acquire add adopt align allow answer append apply as ask assemble augment await balance
    begin bind bring build cache calibrate call cancel canonicalize cap carry check choose classify
    clean clear cross
    clip clone close collect combine commit compare compile compress compute concat configure confirm
    connect convert copy correct count cover create crop cut decide decode decompress degrade delete denoise
    derive describe detach detect discard divide download drain draw drop embed emit encode end enforce
    ensure enter estimate evaluate exclude execute exists expand expect expire explain export extend extract
    fade fail feed fetch fill filter find finish fit fix flatten flush fold follow forecast forget format
    forward from gather generate get give grant group guard handle has hash hear hide hold ignore
    import include infer init initialize insert inspect install invert is iterate join judge keep
    label launch leave let limit link list listen load locate lock log look lookup make map mark
    match measure mention merge mine mix mount move name narrow normalize note observe offer on open
    order own pack pad parse partition pass pause permute pick pin place plan play pool post predict
    prepare preview print probe process project prune publish pull purge push put quantize
    quarantine query raise rank reacquire read rebuild receive recheck record redact reduce refresh
    refuse register reject release reload remove rename render renew repeat replace report request
    require reserve reset resize resolve restore resume retry return reverse rewrite round route run
    sample save scale scatter score search see seek select send serve set settle shade share shift
    show shuffle shut sign skip slice smooth snapshot solve sort speak split stamp start stop store
    stream strip submit sum summarize supersede swap sync synthesize take tell throttle tick time to
    tokenize trace track train transform translate trim truncate trust tune turn unload unpack
    unwrap update upload use validate vary verify view wait walk warm warn watch with wrap write
    yield zero
    """,
    )
)
# Formulas have the names of their papers, and what draws and sounds is named by what is drawn and heard.
FORMULAS = ("pipelines/metrics/", "pipelines/models/", "pipelines/miniature/", "pipelines/train/losses.py")
# Names that a library or a protocol of Python gives; `space` and `load` are what a class of somebody's own
# offers to be an encoder (pipelines/encode/loaders/custom.py), `fingerprint` to be a generator, `spaces` to
# be a judge, so renaming them would break their files; mteb asks an encoder for `similarity` and its meta.
GIVEN = {
    "main",
    "app",
    "debug",
    "backward",
    "capture_signals",
    "writelines",
    "iter_any",
    "iter_batches",
    "connection_made",
    "connection_lost",
    "data_received",
    "writerow",
    # Of the Python API, as its users were promised them.
    "vectors",
    "table",
    "samples",
    "seek",
    "tell",
    "audio_attributes",
    "fingerprint",
    "space",
    "spaces",
    "mteb_model_meta",
    "similarity",
    "similarity_pairwise",
}

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def below_home(path: Path) -> str:
    return path.relative_to(HOME).as_posix()


def functions_of(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return the functions of a file and the methods of its classes, not the properties."""
    tree = ast.parse(path.read_text())
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    scopes = [tree, *(each for each in classes if not each.name.startswith("_"))]
    found = [node for scope in scopes for node in scope.body if isinstance(node, FUNCTIONS)]
    return [
        node
        for node in found
        if not any("property" in ast.unparse(decorator) for decorator in node.decorator_list)
    ]


def test_no_two_classes_share_a_name():
    """What a name means does not depend on the file that one is in."""
    places = defaultdict(list)
    for path in SOURCES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(below_home(path))

    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


@pytest.mark.parametrize("path", SOURCES, ids=below_home)
def test_functions_begin_with_a_verb(path):
    """They say what they do; formulas, drawings and sounds have names of their own."""
    names = {node.name for node in functions_of(path) if not node.name.startswith("_")} - GIVEN
    if below_home(path).startswith(FORMULAS):
        return

    assert [name for name in sorted(names) if name.split("_")[0] not in VERBS] == []


@pytest.mark.parametrize("path", SOURCES, ids=below_home)
def test_all_arguments_are_documented_or_none(path):
    """A docstring that explains one argument explains them all."""
    wrong = {}
    for node in functions_of(path):
        doc = ast.get_docstring(node) or ""
        section = re.search(r"^Args:\n((?:[ ]{4}.*\n?|\n)+)", doc, re.MULTILINE)
        if not section or node.name.startswith("_"):
            continue
        documented = set(re.findall(r"^ {4}\*{0,2}(\w+)(?: \(.*?\))?:", section.group(1), re.MULTILINE))
        args = node.args
        named = [*args.posonlyargs, *args.args, *args.kwonlyargs, *filter(None, [args.vararg, args.kwarg])]
        given = {each.arg for each in named} - {"self", "cls"}
        given = {name for name in given if name.strip("_")}
        if documented != given:
            wrong[node.name] = sorted(documented ^ given)

    assert wrong == {}
