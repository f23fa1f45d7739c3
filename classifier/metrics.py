"""Every wait of the classifier in figures for Prometheus: where the time of a file goes, and what became of it."""

from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from classifier.types import Guarding

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_OPEN = {"closed": 0.0, "half-open": 0.5, "open": 1.0}
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True, slots=True)
class LaneMetrics:
    """One detector's: seconds that rows wait for it, seconds and rows of a forward pass, rows dropped unjudged."""

    waited: Histogram
    forward: Histogram
    batch: Histogram
    dropped: Counter


class Metrics:
    """The metrics of one engine (or worker), in a registry of their own. Seconds, bytes and counts."""

    def __init__(self, prefix: str = "fediward_classifier") -> None:
        self.registry = CollectorRegistry()

        def seconds(name: str, about: str, *labels: str) -> Histogram:
            return Histogram(f"{prefix}_{name}_seconds", about, labels, buckets=_SECONDS, registry=self.registry)

        def count(name: str, about: str, *labels: str) -> Counter:
            return Counter(f"{prefix}_{name}", about, labels, registry=self.registry)

        def level(name: str, about: str, *labels: str) -> Gauge:
            return Gauge(f"{prefix}_{name}", about, labels, registry=self.registry)

        self.queued = seconds("queue", "Until a file's decoding begins")
        self.decoding = seconds("decoding", "Of a file, in its process and on the way there and back")
        self.whole = seconds("judging", "From bytes to judgement, as who asked waits for it")
        self.judged = count("judged", "Files asked for and judged")
        self.failed = count("failed", "Files asked for and not judged, by cause", "cause")
        self.shared = count("shared", "Files asked for while the same bytes were at work already")
        self.stopped = count("stopped", "Files whose judging ended early, as what was found sufficed")
        self.expired = count("expired", "Files that were given up, since nobody waited any more")
        self._files = level("files", "Files at work, by stage", "stage")
        self._held = level("rows_bytes", "Rows that wait or are judged")
        self._waited = seconds("lane", "Until a file's first row is judged", "detector")
        self._forward = seconds("forward", "Of one forward pass", "detector")
        self._batch = Histogram(
            f"{prefix}_batch_rows", "Rows in a forward pass", ["detector"], buckets=_ROWS, registry=self.registry
        )
        self._dropped = count("rows_dropped", "Rows never judged, since nobody waited any more", "detector")
        self._rows = level("rows_waiting", "Rows that wait for a forward pass", "detector")
        self._breakers = level("breaker", "Whether what judges is asked: 0, or 1 while it is not (0.5: tried)", "judge")
        self._stuck = level("stuck", "Forward passes that do not come back", "detector")

    def files(self, waiting: Callable[[], float], decoding: Callable[[], float], held: Callable[[], float]) -> None:
        """Where to read how many files wait and are being decoded, and the bytes of decoded rows."""
        self._files.labels("waiting").set_function(waiting)
        self._files.labels("decoding").set_function(decoding)
        self._held.set_function(held)

    def breaker(self, name: str, breaker: Guarding) -> None:
        """The breaker around a detector of this name, or the workers."""
        self._breakers.labels(name).set_function(lambda: _OPEN[breaker.state])

    def lane(self, detector: str, rows: Callable[[], float], stuck: Callable[[], float]) -> LaneMetrics:
        """One detector's; ``rows`` and ``stuck``: where to read how many there are."""
        self._rows.labels(detector).set_function(rows)
        self._stuck.labels(detector).set_function(stuck)
        return LaneMetrics(
            self._waited.labels(detector),
            self._forward.labels(detector),
            self._batch.labels(detector),
            self._dropped.labels(detector),
        )
