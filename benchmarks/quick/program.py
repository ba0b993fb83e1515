"""The program without a cluster, whose objects come as lines on standard input, as an API server's watch has them.

Run: `python -m benchmarks.quick.program`. It writes the port of its https listener as the first line of its output,
and lasts until its input ends. What arrives together is one batch. Folders of manifests would not do as input: to see
one change takes a look at every file, and the watcher of files waits for more.
"""

import asyncio
import sys
from functools import cache
from typing import Any

import msgspec

from ingress_controller.objects.kinds import BY_NAME
from ingress_controller.objects.views import KubernetesObject
from ingress_controller.sources.protocol import Lines, Observation, parse_event, parse_object, to_batch
from tests.running import running

_CHUNK = 1 << 20


class _Typed(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str
    kind: str


_TYPED = msgspec.json.Decoder(_Typed)


@cache
def _decoder(view: type[KubernetesObject]) -> "msgspec.json.Decoder[Any]":
    return msgspec.json.Decoder(view)


def observe(line: bytes) -> Observation:
    """What a line of a watch says. It is read by the code that reads those of an API server."""
    raw = parse_event(line).object
    typed = _TYPED.decode(raw)
    kind = BY_NAME[typed.api_version, typed.kind]
    return parse_object(kind, _decoder(kind.view), raw)


async def main() -> None:
    """Serve until the input ends."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with running({}) as c:
        sys.stdout.write(f"{c.settings.https_address.port}\n")
        sys.stdout.flush()
        lines = Lines()
        while chunk := await reader.read(_CHUNK):
            if complete := lines.feed(chunk):
                c.controller.pipeline.offer(to_batch(map(observe, complete)))


if __name__ == "__main__":
    asyncio.run(main())
