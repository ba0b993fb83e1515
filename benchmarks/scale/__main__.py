"""Runs the comparison: fills the cluster step by step, and measures each controller at each size.

In: the command line. Out: progress on standard error, the table on standard output, everything as JSON in a file.
"""

import json
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from benchmarks.scale import measure, report
from benchmarks.scale.clock import Deadline
from benchmarks.scale.cluster import CERTIFIED, ROOT, Cluster
from benchmarks.scale.machine import load_average, machine, versions
from benchmarks.scale.measure import Run
from benchmarks.scale.objects import POD_PORT, SHARED_POLICIES, host_of
from benchmarks.scale.subjects import Contour, Controller, Detached, Subject
from tests.manifests import make_certificate
from tests.network_namespace import enter_network_namespace
from tests.real_servers import ControlPlane

CONTOUR_MOST = 10_000
"""Ingresses up to which Contour is measured: beyond, it takes more memory than many machines have."""

OUTPUT = Path(__file__).parent / "results.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """One column of the table.

    Attributes:
        controller: ``this`` or ``contour``.
        size: how many Ingresses.
        policies: how many distinct policies.
    """

    controller: str
    size: int
    policies: int

    @property
    def seconds(self) -> float:
        """How long it may take, with the creation of its objects."""
        return 300 + 0.12 * self.size


def plans(sizes: Sequence[int], only: str, *, worst: bool) -> list[Plan]:
    """What to measure, in order; last the worst case: as many policies as Ingresses."""
    wanted = [only] if only else ["contour", "this"]
    made = [
        Plan(controller, size, SHARED_POLICIES)
        for size in sorted(sizes)
        for controller in wanted
        if controller == "this" or size <= CONTOUR_MOST
    ]
    largest = max((size for size in sizes if size <= CONTOUR_MOST), default=0)
    return [*made, *([Plan("this", largest, largest)] if worst and "this" in wanted and largest else [])]


@click.command()
@click.option("--sizes", default="100,1000,10000", show_default=True, help="Numbers of Ingresses, separated by commas.")
@click.option("--only", type=click.Choice(["this", "contour"]), help="One of the two controllers.")
@click.option("--changes", default=30, show_default=True, help="How many changes of each kind are timed.")
@click.option("--worst/--no-worst", default=True, show_default=True, help="Also measure one policy per Ingress.")
@click.option("--output", default=OUTPUT, show_default=True, type=click.Path(path_type=Path), help="Where JSON goes.")
def main(sizes: str, only: str | None, changes: int, worst: bool, output: Path) -> None:  # noqa: FBT001 (click's way)
    """Compare this controller with Contour on a real API server."""
    planned = plans([int(size) for size in sizes.split(",")], only or "", worst=worst)
    most = sum(plan.seconds for plan in planned) / 60
    click.echo(f"{len(planned)} runs, which take {most:.0f} minutes at most", err=True)
    enter_network_namespace()
    result: dict[str, Any] = {
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "changes": changes,
        "runs": [],
    }
    with ControlPlane() as control_plane:
        cluster = Cluster(control_plane, with_contour=any(plan.controller == "contour" for plan in planned))
        cluster.make_special(make_certificate(host_of(CERTIFIED)))
        with _pods(cluster):
            for plan in planned:
                result["runs"].append(_record(plan, cluster, changes))
                output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    click.echo("\n".join(report.table(result["runs"])))
    sys.exit(any(record["failed"] for record in result["runs"]))


@contextmanager
def _pods(cluster: Cluster) -> Iterator[None]:
    """Run the pods of the cluster, each of which answers with its number."""
    with ExitStack() as stack:
        for number, address in enumerate(cluster.pods):
            command = [sys.executable, "-m", "benchmarks.scale.upstream", address, str(POD_PORT), str(number)]
            pod = stack.enter_context(subprocess.Popen(command, cwd=ROOT))
            stack.callback(pod.kill)
        yield


def _record(plan: Plan, cluster: Cluster, changes: int) -> dict[str, Any]:
    """Carry out a plan. What fails is noted, and the next one is tried."""
    deadline = Deadline(plan.seconds)
    record: dict[str, Any] = {
        "controller": plan.controller,
        "size": plan.size,
        "policies": plan.policies,
        "load_before": load_average(),
        "figures": {},
        "failed": "",
    }
    click.echo(f"{plan} ...", err=True)
    with tempfile.TemporaryDirectory(prefix="b-", dir="/tmp") as folder:
        homes = Path(folder, "a"), Path(folder, "b")
        try:
            cluster.grow(plan.size)
            if cluster.policies != plan.policies:
                cluster.change_policies(plan.policies)
            whole, detached = (_subject(plan, home, cluster) for home in homes)
            measure.measure(Run(whole, cluster, changes, deadline), record["figures"])
            record["figures"]["restart"] = measure.measure_restart(Run(detached, cluster, changes, deadline))
        except Exception as error:  # noqa: BLE001 (of a long run, the rest is wanted all the same)
            record["failed"] = repr(error)
            traceback.print_exc()
            click.echo("\n".join(_ends(Path(folder))), err=True)
    record["load_after"] = load_average()
    return record


def _subject(plan: Plan, home: Path, cluster: Cluster) -> Subject:
    home.mkdir()
    if plan.controller == "contour":
        return Contour(home, cluster.control_plane.admin)
    made = Controller if home.name == "a" else Detached
    return made(home, cluster.kubeconfig)


def _ends(folder: Path) -> list[str]:
    """The ends of the logs of what has failed."""
    return [f"{log.name}: {line}" for log in folder.rglob("*.log") for line in log.read_text().splitlines()[-8:]]


if __name__ == "__main__":
    main()
