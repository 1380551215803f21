from prometheus_client import generate_latest

from adapters.telemetry.prometheus import PrometheusMeter
from ports.meter import Kind, Metric


def exposed(meter: PrometheusMeter) -> str:
    return generate_latest(meter.registry).decode()


def test_every_metric_is_registered_under_a_conventional_name() -> None:
    text = exposed(PrometheusMeter())
    for metric in Metric:
        definition = metric.value
        assert definition.name.startswith("penstock_")
        assert definition.name.endswith("_total") == (definition.kind is Kind.COUNTER)
        assert not {"job_id", "tenant", "idempotency_key"} & set(definition.labels)
        assert f"# HELP {definition.name} " in text


def test_each_set_of_labels_is_a_time_series_of_its_own() -> None:
    meter = PrometheusMeter()
    meter.count(Metric.QUEUED, 2, pool="a", bucket="0")
    meter.count(Metric.QUEUED, pool="a", bucket="0")
    meter.count(Metric.QUEUED, pool="a", bucket="1")
    meter.count(Metric.LEASE_LAPSES)
    text = exposed(meter)
    assert 'penstock_jobs_queued_total{bucket="0",pool="a"} 3.0' in text
    assert 'penstock_jobs_queued_total{bucket="1",pool="a"} 1.0' in text
    assert "penstock_lease_lapses_total 1.0" in text


def test_gauges_are_set_and_histograms_add_up() -> None:
    meter = PrometheusMeter()
    meter.gauge(Metric.SLOTS_BUSY, 3, pool="a")
    meter.gauge(Metric.SLOTS_BUSY, 1, pool="a")
    for run_s in (0.2, 0.3):
        meter.observe(Metric.RUN, run_s, pool="a", outcome="succeeded")
    text = exposed(meter)
    assert 'penstock_executor_slots_busy{pool="a"} 1.0' in text
    assert 'penstock_job_run_seconds_sum{outcome="succeeded",pool="a"} 0.5' in text
    assert 'penstock_job_run_seconds_count{outcome="succeeded",pool="a"} 2.0' in text
