from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from classifier.metrics import Metrics


def test_what_is_observed_can_be_read() -> None:
    metrics = Metrics()
    levels = {"waiting": 3, "decoding": 2, "held": 1000, "rows": 7, "stuck": 0}
    metrics.files(lambda: levels["waiting"], lambda: levels["decoding"], lambda: levels["held"])
    lane = metrics.lane("clip", lambda: levels["rows"], lambda: levels["stuck"])
    lane.forward.observe(0.03)
    lane.batch.observe(8)
    metrics.failed.labels("timeout").inc()
    levels["waiting"] = 4
    text = generate_latest(metrics.registry).decode()
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["fediward_classifier_files", "waiting"] == 4
    assert found["fediward_classifier_files", "decoding"] == 2
    assert found["fediward_classifier_rows_bytes",] == 1000
    assert found["fediward_classifier_rows_waiting", "clip"] == 7
    assert found["fediward_classifier_stuck", "clip"] == 0
    assert found["fediward_classifier_forward_seconds_sum", "clip"] == 0.03
    assert found["fediward_classifier_batch_rows_bucket", "clip", "8.0"] == 1
    assert found["fediward_classifier_batch_rows_bucket", "clip", "4.0"] == 0
    assert found["fediward_classifier_failed_total", "timeout"] == 1


def test_two_engines_do_not_mix() -> None:
    one, other = Metrics(), Metrics()
    one.judged.inc()
    assert other.registry.get_sample_value("fediward_classifier_judged_total") == 0
