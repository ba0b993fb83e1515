"""Probes and metrics over real sockets."""

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from ingress_controller.errors import StartError
from ingress_controller.health import health_app, metrics_app, serve
from ingress_controller.model.upstream import Address

ANY = Address("127.0.0.1", 0)


async def get(address: Address | None, path: str, **headers: str) -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as client, client.get(f"http://{address}{path}", headers=headers) as response:
        return response.status, response.content_type, await response.text()


async def test_readiness_says_what_is_missing_until_nothing_is() -> None:
    missing = ["Envoy has not connected", "Ingresses are not listed"]
    async with serve(ANY, health_app(lambda: missing), "--health-probe-bind-address") as address:
        assert await get(address, "/healthz") == (200, "text/plain", "ok\n")
        assert await get(address, "/readyz") == (
            503,
            "text/plain",
            "Envoy has not connected\nIngresses are not listed\n",
        )
        missing.clear()
        assert await get(address, "/readyz") == (200, "text/plain", "ok\n")
        assert (await get(address, "/metrics"))[0] == 404


async def test_metrics_are_of_the_given_registry_in_both_formats() -> None:
    registry = CollectorRegistry()
    Counter("starts", "Starts.", registry=registry).inc()
    async with serve(ANY, metrics_app(registry), "--metrics-bind-address") as address:
        status, kind, text = await get(address, "/metrics")
        assert (status, kind) == (200, "text/plain")
        assert "\nstarts_total 1.0\n" in text
        _, kind, text = await get(address, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
        assert kind == "application/openmetrics-text"
        assert text.endswith("# EOF\n")


async def test_nowhere() -> None:
    async with serve(None, health_app(list), "--health-probe-bind-address") as address:
        assert address is None


async def test_an_address_in_use_is_an_error_that_names_the_flag() -> None:
    async with serve(ANY, health_app(list), "--health-probe-bind-address") as address:
        with pytest.raises(StartError, match=r"^--metrics-bind-address: 127.0.0.1:\d+ cannot be listened on: "):
            async with serve(address, health_app(list), "--metrics-bind-address"):
                pass
