"""What is counted.

In: passes of the pipeline, outcomes of Ingresses, events of the xDS streams. Out: Prometheus metrics in a registry of
their own. Labels are few and fixed: no metric grows with the number of objects.
"""

from collections import Counter as Tally

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from ingress_controller.model.problem import Problem
from ingress_controller.model.reference import ObjectRef
from xds import Answer, Observer, Response

# A series of creation times beside each counter would double what is stored.
disable_created_metrics()  # type: ignore[no-untyped-call]

_PREFIX = "ingress_controller"
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Metrics(Observer):
    """All metrics of the controller."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.pass_seconds = Histogram(
            f"{_PREFIX}_pass_seconds",
            "Time from taking up changes to having their resources in the cache",
            registry=self.registry,
            buckets=_SECONDS,
        )
        self.refused = Counter(
            f"{_PREFIX}_xds_refused_resources",
            "Resources that Envoy refused, each found alone",
            ["type"],
            registry=self.registry,
        )
        self._ingresses = Gauge(
            f"{_PREFIX}_ingresses",
            "Ingresses that are served, by their worst problem; the empty reason is none",
            ["reason"],
            registry=self.registry,
        )
        self._proxies = Gauge(f"{_PREFIX}_xds_proxies", "Connected proxies", registry=self.registry)
        self._responses = Counter(
            f"{_PREFIX}_xds_responses", "Responses sent to proxies", ["type"], registry=self.registry
        )
        self._resources = Counter(
            f"{_PREFIX}_xds_resources", "Resources sent to proxies, and removals", ["type"], registry=self.registry
        )
        self._bytes = Counter(
            f"{_PREFIX}_xds_response_bytes", "Bytes sent to proxies", ["type"], registry=self.registry
        )
        self._answers = Counter(
            f"{_PREFIX}_xds_answers", "Answers of proxies to responses", ["type", "answer"], registry=self.registry
        )
        self._reasons: dict[ObjectRef, str] = {}
        self._tally: Tally[str] = Tally()

    def observe(self, ingress: ObjectRef, problems: tuple[Problem, ...] | None) -> None:
        """Count an Ingress anew; ``None`` when it is gone."""
        if (before := self._reasons.pop(ingress, None)) is not None:
            self._count(before, -1)
        if problems is not None:
            self._reasons[ingress] = problems[0].reason if problems else ""
            self._count(self._reasons[ingress], +1)

    def connected(self, node: str) -> None:  # noqa: ARG002 (a label for each proxy would not be bounded)
        """A proxy's stream is there."""
        self._proxies.inc()

    def disconnected(self, node: str) -> None:  # noqa: ARG002
        """A proxy's stream is gone."""
        self._proxies.dec()

    def sent(self, node: str, response: Response) -> None:  # noqa: ARG002
        """A response went out."""
        kind = response.type_url.rpartition(".")[2]
        self._responses.labels(kind).inc()
        self._resources.labels(kind).inc(response.resources + response.removed)
        self._bytes.labels(kind).inc(len(response.body))

    def answered(self, node: str, answer: Answer) -> None:  # noqa: ARG002
        """A proxy accepted or refused a response."""
        self._answers.labels(answer.type_url.rpartition(".")[2], "ack" if answer.accepted else "nack").inc()

    def _count(self, reason: str, by: int) -> None:
        self._tally[reason] += by
        self._ingresses.labels(reason).set(self._tally[reason])
