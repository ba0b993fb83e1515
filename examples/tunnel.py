#!/usr/bin/env python3
"""Open a tunnel through the ingress, and connect it with standard input and output, as OpenSSH's ProxyCommand wants.

In: HOST:PORT, the host of an Ingress with ``tcp_upstream`` and the port of its Service; a session in the environment
variable TOKEN; bytes on standard input, which has to be a pipe. Out: the bytes that come back, until the other side
closes the tunnel. Where the ingress refuses, its answer is on standard error and the exit status is 1.
"""

import argparse
import asyncio
import os
import ssl
import sys


async def tunnel(target: str, address: str, port: int, host: str, context: ssl.SSLContext) -> int:
    """Open the tunnel and wait for its end; gives the exit status."""
    received, sent = await asyncio.open_connection(address, port, ssl=context, server_hostname=host)
    session = f"Authorization: Bearer Pomerium-{os.environ.get('TOKEN', '')}"
    sent.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{session}\r\n\r\n".encode())
    status, _, _ = (await received.readuntil(b"\r\n\r\n")).decode().partition("\r\n")
    if status.split()[1] != "200":
        print(status, file=sys.stderr)
        return 1
    sending = asyncio.create_task(send(sent))
    while data := await received.read(65536):
        await asyncio.to_thread(sys.stdout.buffer.write, data)
        await asyncio.to_thread(sys.stdout.buffer.flush)
    sending.cancel()
    return 0


async def send(sent: asyncio.StreamWriter) -> None:
    """Send standard input. Its end does not end the tunnel, or the other side's answer would be lost."""
    given = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(given), sys.stdin)
    while data := await given.read(65536):
        sent.write(data)
        await sent.drain()


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Open a TCP tunnel through the ingress.")
    parser.add_argument("target", metavar="HOST:PORT", help="the host of the Ingress, and the port of its Service")
    parser.add_argument("--connect", metavar="HOST:PORT", help="where the ingress listens (default: HOST:443)")
    parser.add_argument("--insecure", action="store_true", help="accept any certificate of the ingress")
    options = parser.parse_args()
    host = options.target.rpartition(":")[0]
    address, _, port = (options.connect or f"{host}:443").rpartition(":")
    context = ssl.create_default_context()
    if options.insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return asyncio.run(tunnel(options.target, address, int(port), host, context))


if __name__ == "__main__":
    sys.exit(main())
