"""The miniature world as what is evaluated."""

from pipelines.evaluate.request import EvaluationTarget
from schemas.encoders import Encode
from schemas.generators import GeneratorEntry

TARGET = EvaluationTarget(
    name="miniature",
    encode=Encode.model_validate({"clip": "pocket", "clap": "pocket"}),
    spaces={},
    set_name="main",
    generator=GeneratorEntry(),
    root=None,
)
