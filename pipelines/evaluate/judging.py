"""The step: outputs of ways -> evaluations/NAME/judged/NNNNN.parquet, what every judge reads off them.

The true media of the rows are output 0, whatever ways there are: most scores compare with them.

Shapes: N rows of a shard, D dimensions, C classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.evaluate.judges.judge import JudgeSpec, MediaJudge
from pipelines.evaluate.outputs import MediaOutput, split_rows
from pipelines.generate.stages import SingleThreaded
from pipelines.stage import Batch, Stage, Work, count_rows
from pipelines.store.root import Root
from pipelines.store.shards import Shard, with_tables
from schemas.evaluation import ATTRIBUTES

SHARD_ROWS = 48
# Shards of an output at most: the number of a shard is this times the output's, plus its own.
_STRIDE = 10_000
# What a judge reads off a file, beside the attributes: `logits` of the classes of the rows, `own` of its own
# classes; `text` is of the caption of the row.
_ARRAYS = ("vector", "logits", "own", "text")


@dataclass(frozen=True)
class JudgeStage(Stage):
    """The stage: files -> what every judge reads off them.

    Attributes:
        judges: of the medium of the files.
        classes: words to classify by; none if no row has a label.
    """

    judges: tuple[JudgeSpec, ...]
    classes: tuple[str, ...]

    @property
    def name(self) -> str:
        """The word for it in progress and profiles."""
        return "judge"

    @property
    def reads(self) -> frozenset[str]:
        """The files, and the captions of those that have some to be compared with."""
        return frozenset({"file", "caption"})

    @property
    def adds(self) -> frozenset[str]:
        """The readings, by judge and what is read."""
        return frozenset({"readings"})

    def open(self) -> Work:
        """Load the judges."""
        judges = [(spec.name, spec.open()) for spec in self.judges]

        def work(batch: Batch) -> Batch:
            readings: list[dict[str, Any]] = [{} for _ in range(count_rows(batch))]
            there = [row for row, file in enumerate(batch["file"]) if file is not None]
            files = [batch["file"][row] for row in there]
            captioned = [row for row, caption in enumerate(batch["caption"]) if caption is not None]
            captions = [batch["caption"][row] for row in captioned]
            for name, judge in judges:
                for what, values in self._read(judge, files).items():
                    for row, value in zip(there, values, strict=True):
                        readings[row][f"{name} {what}"] = value
                vectors_ND = judge.embed_texts(captions) if captions else None
                for row, vector_D in zip(captioned, [] if vectors_ND is None else vectors_ND, strict=False):
                    readings[row][f"{name} text"] = vector_D
            return batch | {"readings": readings}

        return work

    def _read(self, judge: MediaJudge, files: Sequence[bytes]) -> Mapping[str, Sequence[Any]]:
        if not files:
            return {}
        vectors_ND = judge.embed(files)
        # Of a judge that has no space, nothing is a number.
        found: dict[str, Sequence[Any]] = (
            {"vector": list(vectors_ND)} if np.isfinite(vectors_ND).any() else {}
        )
        if self.classes and (logits_NC := judge.classify(files, self.classes)) is not None:
            found["logits"] = list(logits_NC)
        if (own_NC := judge.classify(files, ())) is not None:
            found["own"] = list(own_NC)
        return found | {name: [str(each) for each in values] for name, values in
                        (judge.read_attributes(files) or {}).items()}  # fmt: skip


@dataclass(frozen=True)
class JudgeStep:
    """Judge the outputs of all ways as one plan.

    Attributes:
        root: that is written to.
        folder: below it, of the tables.
        outputs: the true media, then those of the ways.
        captions: of the rows.
        stage: with the judges.
    """

    root: Root
    folder: str
    outputs: tuple[MediaOutput, ...]
    captions: tuple[str, ...]
    stage: JudgeStage
    name: str = field(default="judge", init=False)

    def list_shards(self) -> list[Shard]:
        """Return the shards of all outputs."""
        return [
            Shard(output * _STRIDE + number, "clip", "local", len(rows))
            for output in range(len(self.outputs))
            for number, rows in enumerate(split_rows(len(self.captions), SHARD_ROWS))
        ]

    def _get_marker(self, shard: Shard) -> str:
        return f"{self.folder}/{shard.name}.parquet"

    def is_done(self, shard: Shard) -> bool:
        """Return whether a shard is committed."""
        return self.root.exists(self._get_marker(shard))

    def find_committed(self, shards: Collection[int]) -> frozenset[int]:
        """Return which of the shards are committed."""
        return with_tables(self.root, self.folder, shards)

    def make_stages(self, shard: Shard) -> Sequence[Stage]:  # noqa: ARG002 - one chain for all outputs
        """Return the one stage, on one core: rounding then does not depend on the cores of a worker."""
        return (SingleThreaded(self.stage),)

    def read(self, shard: Shard) -> Iterator[Batch]:
        """Yield the files of a shard as one batch; of the true media also the captions."""
        output, number = divmod(shard.number, _STRIDE)
        rows = split_rows(len(self.captions), SHARD_ROWS)[number]
        captions = [self.captions[row] if output == 0 else None for row in rows]
        fine = {"key": [str(row) for row in rows], "outcome": ["ok"] * len(rows), "reason": [""] * len(rows)}
        yield fine | {"file": self.outputs[output].read_files(rows), "caption": captions}

    def commit(self, shard: Shard, batches: Iterable[Batch], started: float) -> None:  # noqa: ARG002
        """Write the readings of a shard."""
        readings = [each for batch in batches for each in batch["readings"]]
        names = [f"{judge.name} {what}" for judge in self.stage.judges for what in (*_ARRAYS, *ATTRIBUTES)]
        columns = {name: _make_array([each.get(name) for each in readings], name) for name in names}
        self.root.write_table(self._get_marker(shard), pa.table(columns))

    def count_outcomes(self, shard: Shard) -> Counter[str]:
        """Return the rows of a committed shard, all of them fine."""
        return Counter({"ok": shard.rows})

    def read_readings(self, output: int, judge: str) -> JudgeFindings:
        """Return what a judge read off all files of an output."""
        numbers = range(len(split_rows(len(self.captions), SHARD_ROWS)))
        tables = [
            self.root.read_table(
                self._get_marker(Shard(output * _STRIDE + number, "clip", "local", 0)),
                columns=[f"{judge} {what}" for what in (*_ARRAYS, *ATTRIBUTES)],
            )
            for number in numbers
        ]
        table = pa.concat_tables(tables).combine_chunks()
        arrays = {what: _to_matrix(table[f"{judge} {what}"]) for what in _ARRAYS}
        read = {
            name: np.array([value or "" for value in table[f"{judge} {name}"].to_pylist()])
            for name in ATTRIBUTES
            if table[f"{judge} {name}"].null_count < table.num_rows
        }
        return JudgeFindings(arrays["vector"], arrays["logits"], arrays["text"], read, arrays["own"])


@dataclass(frozen=True, eq=False)
class JudgeFindings:
    """What a judge read off the files of an output; rows without a file, or with a broken one, are NaN.

    Attributes:
        vectors_ND: float32; None if there is none.
        logits_NC: of the classes of the rows, float32; None if it does not know them.
        texts_ND: of the captions, of the true media alone; None if it embeds no text.
        attributes: attribute -> its value, one a row; empty where there is none.
        own_NC: logits of its own classes; None if it has none.
    """

    vectors_ND: np.ndarray | None
    logits_NC: np.ndarray | None
    texts_ND: np.ndarray | None
    attributes: Mapping[str, np.ndarray]
    own_NC: np.ndarray | None = None

    def get_widest(self) -> np.ndarray | None:
        """The logits that tell laws apart: of its own classes, else of those of the rows."""
        return self.logits_NC if self.own_NC is None else self.own_NC


def _make_array(values: list[Any], name: str) -> pa.Array:
    if name.rpartition(" ")[2] in _ARRAYS:
        lists = [None if value is None else np.asarray(value, np.float32) for value in values]
        return pa.array(lists, pa.list_(pa.float32()))
    return pa.array(values, pa.string())


def _to_matrix(column: pa.ChunkedArray) -> np.ndarray | None:
    """Return lists of one length as float32 [N, D], null as NaN; None if all are null."""
    values = column.to_pylist()
    dims = next((len(value) for value in values if value is not None), None)
    if dims is None:
        return None
    matrix_ND = np.full((len(values), dims), np.nan, np.float32)
    for row, value in enumerate(values):
        if value is not None:
            matrix_ND[row] = value
    return matrix_ND
