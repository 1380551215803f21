"""A ``Meter`` on prometheus-client."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ports.meter import Kind, Metric


class PrometheusMeter:
    """Registers every metric of ``ports.meter`` in one registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
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
        counter = self._counters[metric]
        (counter.labels(**labels) if labels else counter).inc(amount)

    def gauge(self, metric: Metric, value: float, **labels: str) -> None:
        """See ``ports.meter.Meter.gauge``."""
        gauge = self._gauges[metric]
        (gauge.labels(**labels) if labels else gauge).set(value)

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        """See ``ports.meter.Meter.observe``."""
        histogram = self._histograms[metric]
        (histogram.labels(**labels) if labels else histogram).observe(value)
