"""What a server counts, as Prometheus reads it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["Metrics"]

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "morphoscope_requests",
            "Requests by route and status.",
            ["route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "morphoscope_request_seconds",
            "Seconds of a request.",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.batch = Histogram(
            "morphoscope_batch_images",
            "Images that a model was asked at once.",
            ["model"],
            buckets=SIZES,
            registry=self.registry,
        )
        self.asked = Counter(
            "morphoscope_model_seconds",
            "Seconds that a model computed.",
            ["model"],
            registry=self.registry,
        )
        self.answers = Counter(
            "morphoscope_answers", "Answers of a model.", ["model", "flag"], registry=self.registry
        )
        self.alarms = Counter(
            "morphoscope_alarms", "Disagreements by kind.", ["kind"], registry=self.registry
        )
        self.swaps = Counter(
            "morphoscope_model_swaps", "Models loaded after the start.", registry=self.registry
        )
        self.state = Gauge(
            "morphoscope_state", "What is under way.", ["what"], registry=self.registry
        )

    def batched(self, model: str, n: int, seconds: float) -> None:
        """Count a batch."""
        self.batch.labels(model).observe(n)
        self.asked.labels(model).inc(seconds)

    def text(self, state: dict[str, int]) -> bytes:
        """All of them, in Prometheus' format, with what is under way now."""
        for name, value in state.items():
            self.state.labels(name).set(value)
        return generate_latest(self.registry)
