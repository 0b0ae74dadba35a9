import pytest

from pipelines.errors import ConfigError, ListError
from pipelines.source.folder_classes import list_synsets, read_lemmas


@pytest.fixture
def imagenet(written, tmp_path):
    """As ImageNet is laid out: two animals and a thing in train, and a flat val with its solution."""
    for name in (
        "train/n01440764/n01440764_1.JPEG",
        "train/n02099601/n02099601_7.JPEG",
        "train/n02666196/n02666196_3.JPEG",
        "train/other/x.JPEG",
        "val/ILSVRC2012_val_00000001.JPEG",
    ):
        written(f"imagenet/{name}", b"\xff\xd8\xff\xe0")
    return tmp_path / "imagenet"


def test_words_of_synsets(plan, imagenet):
    """The label is the first word of the synset, and the caption where no text lies beside."""
    done = plan({"kind": "folder", "list": str(imagenet / "train"), "classes": "imagenet"})

    assert ["tench", "golden retriever", "abacus", None] == done.column("label")
    assert ["tench", "golden retriever", "abacus", "x"] == done.column("caption")


def test_the_animals_of_imagenet(plan, imagenet):
    """They are the first 398 of its 1,000 classes: the last is the pufferfish, the next the abacus."""
    done = plan({"kind": "folder", "list": str(imagenet / "train"), "classes": "imagenet_animals"})

    assert ["tench", "golden retriever"] == done.column("label")
    assert {"label": 2} == done.counts.sources[0].filtered
    assert ("puffer", "abacus") == tuple(read_lemmas()[list_synsets()[at]][0] for at in (397, 398))
    assert len(list_synsets()) == 1000


@pytest.mark.parametrize("named", ["golden retriever", "n02099601"])
def test_some_classes(plan, imagenet, named):
    """By one of their words or by their synsets."""
    done = plan({"kind": "folder", "list": str(imagenet / "train"), "classes": "imagenet", "labels": [named]})

    assert ["golden retriever"] == done.column("label")


def test_a_flat_folder_has_a_map(plan, imagenet, written):
    """Without it the captions would be "ILSVRC val"."""
    solution = written(
        "LOC_val_solution.csv", "ImageId,PredictionString\nILSVRC2012_val_00000001,n01978287 1 2 3 4\n"
    )
    keys = {"kind": "folder", "list": str(imagenet / "val"), "classes": "imagenet"}
    done = plan(keys | {"class_map": solution})

    assert ["Dungeness crab"] == done.column("caption")
    with pytest.raises(ListError, match="has no columns ImageId"):
        plan(keys | {"class_map": written("other.csv", "a,b\n1,2\n")})


def test_class_folders(plan, written, tmp_path):
    """As of torchvision: the folder is the class; a text beside a file stays its caption."""
    for name in ("set/red_fox/1.jpg", "set/red_fox/2.wav", "set/dog/3.jpg"):
        written(name, b"")
    written("set/dog/3.txt", "A small dog.")
    done = plan({"kind": "folder", "list": str(tmp_path / "set"), "classes": "folders"})

    assert ["dog", "red fox", "red fox"] == done.column("label")
    assert ["A small dog.", "red fox", "red fox"] == done.column("caption")


def test_a_class_that_imagenet_does_not_have(plan, imagenet):
    """One sentence, before anything is read."""
    with pytest.raises(ConfigError, match="ImageNet has no class 'unicorn'"):
        plan({"kind": "folder", "list": str(imagenet), "classes": "imagenet", "labels": ["unicorn"]})


def test_labels_without_classes(plan, imagenet):
    """A folder has labels if it has classes."""
    with pytest.raises(ConfigError, match="say `classes: folders`"):
        plan({"kind": "folder", "list": str(imagenet), "labels": ["dog"]})
