"""What Prometheus is told. Every replica counts for itself; any of them answers for all of its node."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

# Seconds; FAISS answers within the first, an encoder on a CPU within the last few.
_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_BATCHES = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class ServiceMetrics:
    """The counters of one replica. They lie in files of a folder, so that one that died still counts."""

    folder: Path
    requests: Any
    answered_s: Any
    batch_queries: Any
    refused: Any
    version: Any
    switches: Any

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Return the metrics of this process.

        Args:
            folder: the same for all replicas of a node; made if it is not there.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
        import prometheus_client as prometheus
        from prometheus_client import values

        # Ray may have imported it before the folder was known.
        values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]
        own = prometheus.CollectorRegistry()
        return cls(
            folder,
            prometheus.Counter(
                "echolens_requests", "requests by path and status", ("path", "status"), registry=own
            ),
            prometheus.Histogram(
                "echolens_answer_seconds",
                "time to an answer, by what was asked with",
                ("query",),
                buckets=_BUCKETS_S,
                registry=own,
            ),
            prometheus.Histogram(
                "echolens_batch_queries",
                "queries that were answered together",
                buckets=_BATCHES,
                registry=own,
            ),
            prometheus.Counter(
                "echolens_refused", "requests that the gate refused", ("status",), registry=own
            ),
            prometheus.Gauge(
                "echolens_version", "the version that answers", registry=own, multiprocess_mode="mostrecent"
            ),
            prometheus.Counter("echolens_switches", "switches to another version", ("ended",), registry=own),
        )

    def text(self) -> tuple[bytes, str]:
        """Return what all replicas of the node counted, and its content type."""
        import prometheus_client as prometheus
        from prometheus_client import multiprocess

        every = prometheus.CollectorRegistry()
        multiprocess.MultiProcessCollector(every, str(self.folder))  # type: ignore[no-untyped-call]
        return prometheus.generate_latest(every), prometheus.CONTENT_TYPE_LATEST
