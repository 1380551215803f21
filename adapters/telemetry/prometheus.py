"""A ``Meter`` on prometheus-client."""

from typing import TypeVar, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ports.meter import Kind, Metric

M = TypeVar("M", Counter, Gauge, Histogram)


class PrometheusMeter:
    """Registers every metric of ``ports.meter`` in one registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._children: dict[tuple[object, ...], object] = {}
        self._counters: dict[Metric, Counter] = {}
        self._gauges: dict[Metric, Gauge] = {}
        self._histograms: dict[Metric, Histogram] = {}
        for metric in Metric:
            self._register(metric)

    def _register(self, metric: Metric) -> None:
        name, kind, text, labels, bounds = metric.value
        match kind:
            case Kind.COUNTER:
                self._counters[metric] = Counter(name, text, labels, registry=self.registry)
            case Kind.GAUGE:
                self._gauges[metric] = Gauge(name, text, labels, registry=self.registry)
            case Kind.HISTOGRAM:
                self._histograms[metric] = Histogram(
                    name, text, labels, buckets=bounds, registry=self.registry
                )

    def count(self, metric: Metric, amount: float = 1, **labels: str) -> None:
        """See ``ports.meter.Meter.count``."""
        self._child(self._counters, metric, labels).inc(amount)

    def gauge(self, metric: Metric, value: float, **labels: str) -> None:
        """See ``ports.meter.Meter.gauge``."""
        self._child(self._gauges, metric, labels).set(value)

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        """See ``ports.meter.Meter.observe``."""
        self._child(self._histograms, metric, labels).observe(value)

    def _child(self, parents: dict[Metric, M], metric: Metric, labels: dict[str, str]) -> M:
        """Give the time series of these labels, looked up in prometheus-client only once.

        Its own look-up checks names and takes a lock each time: 6 % of an executor's CPU.
        """
        key = (metric, *labels.items())
        found = self._children.get(key)
        if found is None:
            parent = parents[metric]
            found = self._children[key] = parent.labels(**labels) if labels else parent
        return cast("M", found)
