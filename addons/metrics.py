"""What the doors of one process do, in figures for Prometheus: counters and histograms that cost a door about a
microsecond each, and levels that are read when somebody asks."""

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

logger = logging.getLogger(__name__)

type Stage = Literal["verify", "fetch", "decision", "hold", "replay"]
"""``verify`` a signature, its key fetched if need be; ``fetch`` one medium, page or object; ``decision``: from a
request's end to its decision, these two within; ``hold``: until a hold is on the disk. Of judging the classifier tells.
"""
type Levels = Mapping[tuple[str, ...], float]
"""Label values to a level."""

CHILDREN = 10_000
"""Combinations of labels that a counter may have: rules are the admin's, and some have thousands; the rest is "other".
"""
DENIED = "denied"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 4.0, 8.0, 15.0, 30.0, 60.0)


@dataclass(frozen=True, slots=True)
class Reading:
    """A level that is read when somebody asks. ``read`` gives a number, one for each combination of ``labels``, or None
    where there is none now. ``total``: it only ever grows since the process began."""

    name: str
    about: str
    read: Callable[[], float | Levels | None]
    labels: Sequence[str] = ()
    total: bool = False


class Metrics:
    """The metrics of one process, in a registry of their own. All methods may be called from any thread.

    No label is ever anything that strangers choose: no host, no actor, no URL.
    """

    def __init__(self, rules: Collection[str] | None = None) -> None:
        """``rules``: the names that there are; None: whatever is said. Any other names a line of a deny list, or who
        is denied for a while: ``denied``."""
        self._rules = None if rules is None else frozenset(rules)
        self.registry = CollectorRegistry()
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str, str, str], int] = {}
        self._stages = Histogram(
            "fediward_stage_seconds",
            "Time that a delivery, fetch or upload takes, by stage",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._of: dict[str, Histogram] = {}
        self._held = Counter("fediward_held", "Deliveries held, by cause", ["cause"], registry=self.registry)
        self._outcomes = Counter(
            "fediward_outcomes", "Holds that ended, by outcome", ["outcome"], registry=self.registry
        )
        self._readings: list[Reading] = []
        self._more: list[CollectorRegistry] = []
        self._snapshot: list[Metric] = []
        self._told: set[str] = set()
        self.registry.register(_Counted(self))

    # -- what happens --------------------------------------------------------------------------------------------------

    def delivery(
        self,
        door: str,
        action: str,
        rule: str | None = None,
        cause: str | None = None,
        seconds: float | None = None,
    ) -> None:
        """Count a decision: one delivery, fetch or upload. ``action``: or what the ledger's counters call it;
        ``seconds``: that it took, where something was judged."""
        if rule and self._rules is not None and rule not in self._rules:
            rule = DENIED
        key = (door, action, rule or "", cause or "")
        with self._lock:
            count = self._counts.get(key, 0)
            if not count and len(self._counts) >= CHILDREN:
                key = (door, action, "other", cause or "")
                count = self._counts.get(key, 0)
            self._counts[key] = count + 1
        if seconds is not None:
            self.stage("decision", seconds)

    def stage(self, name: Stage, seconds: float) -> None:
        """Note how long a stage took."""
        child = self._of.get(name)
        if child is None:
            child = self._of[name] = self._stages.labels(name)
        child.observe(seconds)

    def held(self, cause: str | None) -> None:
        """Count a delivery that was stored; None: a rule or order had it held."""
        self._held.labels(cause or "").inc()

    def outcome(self, outcome: str) -> None:
        """Count a hold that ended."""
        self._outcomes.labels(outcome).inc()

    # -- what is read when somebody asks -------------------------------------------------------------------------------

    def watch(self, *readings: Reading) -> None:
        """Have these read at each asking, on the event loop: they must be quick and may not block."""
        self._readings.extend(readings)

    def include(self, registry: CollectorRegistry) -> None:
        """Tell these too: the classifier's."""
        self._more.append(registry)

    def snapshot(self, slow: Iterable[Metric] = ()) -> None:
        """Read the levels. Belongs on the event loop; ``slow``: those that somebody read in a thread."""
        self._snapshot = [found for one in self._readings if (found := self._read(one)) is not None]
        self._snapshot.extend(slow)

    def text(self) -> bytes:
        """All of it in Prometheus's text format, with the levels of the last :meth:`snapshot`. Takes milliseconds."""
        return b"".join(generate_latest(one) for one in (self.registry, *self._more))

    def _read(self, reading: Reading) -> Metric | None:
        try:
            return family(reading)
        except Exception:
            # Somebody else's figure must not cost all others.
            if reading.name not in self._told:
                self._told.add(reading.name)
                logger.exception("the metric %s cannot be read", reading.name)
            return None

    def _deliveries(self) -> Metric:
        about = "Deliveries, fetches and uploads, by door, action and what decided"
        found = CounterMetricFamily("fediward_deliveries", about, labels=["door", "action", "rule", "cause"])
        with self._lock:
            counts = dict(self._counts)
        for key, count in counts.items():
            found.add_metric(key, count)
        return found


class _Counted(Collector):
    """What is not kept as prometheus-client's own objects: these cost several times more."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield self._metrics._deliveries()
        yield from self._metrics._snapshot


def family(reading: Reading) -> Metric | None:
    """A level as Prometheus wants it; None where there is none now."""
    level = reading.read()
    if level is None:
        return None
    kind = CounterMetricFamily if reading.total else GaugeMetricFamily
    found = kind(reading.name, reading.about, labels=list(reading.labels))
    for labels, value in level.items() if isinstance(level, Mapping) else [((), level)]:
        found.add_metric(labels, value)
    return found
