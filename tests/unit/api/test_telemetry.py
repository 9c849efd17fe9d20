"""Prometheus reads what is written."""

from app.api.telemetry import Telemetry, sample


def test_a_histogram_adds_up() -> None:
    telemetry = Telemetry()
    for seconds in (0.0005, 0.02, 0.02, 100.0):
        telemetry.requests("GET", "/v1/jobs", 200, seconds)

    lines = telemetry.lines()

    labels = 'method="GET",route="/v1/jobs",status="200"'
    assert f"rootstock_requests_total{{{labels}}} 4" in lines
    assert f'rootstock_request_seconds_bucket{{{labels},le="0.001"}} 1' in lines
    assert f'rootstock_request_seconds_bucket{{{labels},le="0.025"}} 3' in lines
    assert f'rootstock_request_seconds_bucket{{{labels},le="60.0"}} 3' in lines
    assert f'rootstock_request_seconds_bucket{{{labels},le="+Inf"}} 4' in lines
    assert f"rootstock_request_seconds_count{{{labels}}} 4" in lines
    assert f"rootstock_request_seconds_sum{{{labels}}} 100.0405" in lines


def test_durations_that_are_counted_together_count_as_they_would_alone() -> None:
    together, alone = Telemetry(), Telemetry()
    for group in ((0.02, 0.021, 0.02), (0.0001, 100.0, 0.3, 0.3)):
        together.requests("GET", "/v1/jobs", 200, *group)
        for seconds in group:
            alone.requests("GET", "/v1/jobs", 200, seconds)
    assert together.lines() == alone.lines()


def test_labels_are_escaped() -> None:
    assert sample("jobs", {"kind": 'a"b\\c\nd'}, 2) == 'jobs{kind="a\\"b\\\\c\\nd"} 2'
    assert sample("jobs", {}, 1e9) == "jobs 1e+09"
