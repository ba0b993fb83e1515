"""The quick start: an example upstream, the controller on the manifests beside this file, and a real Envoy.

In: nothing. Out: a running example, and on standard output what to open and what each address shows. Ends with Ctrl-C.
"""

import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).parent
UPSTREAM = ("127.0.0.1", 18000)
READY = "http://127.0.0.1:8081/readyz"
FILES = ("--data-dir", "data", "--access-log", "data/access.log")
PROGRAM = str(Path(sys.executable).with_name("ingress-controller"))

WHAT_TO_OPEN = """
Ready. Open these (the certificate is self-signed), or use the commands below:

  https://public.localhost.pomerium.io:8443/   everybody is admitted: the upstream's answer
  https://hello.localhost.pomerium.io:8443/    asks to sign in; admits user@yourdomain.com
  https://denied.localhost.pomerium.io:8443/   has no policy: 403 for everybody

  curl -k --connect-to ::127.0.0.1:8443 https://public.localhost.pomerium.io:8443/
  curl -k --connect-to ::127.0.0.1:8443 https://hello.localhost.pomerium.io:8443/

Be that user, with a session signed by this controller's key:

  TOKEN=$(.venv/bin/ingress-controller session mint --data-dir data \\
      --host hello.localhost.pomerium.io --email user@yourdomain.com)
  curl -k --connect-to ::127.0.0.1:8443 -H "Authorization: Bearer Pomerium-$TOKEN" \\
      https://hello.localhost.pomerium.io:8443/

Edit a file in examples/quickstart: it counts at once. Each request is a line of data/access.log.
Ctrl-C ends it.
"""


class Upstream(BaseHTTPRequestHandler):
    """Answers every request with what it has received."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Show the request as it arrived."""
        seen = {"upstream": "hello", "method": self.command, "path": self.path, "headers": dict(self.headers)}
        body = json.dumps(seen, indent=2).encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Requests are not logged: the terminal is for the controller."""


def is_ready() -> bool:
    """Whether Envoy has taken over the configuration."""
    try:
        with urllib.request.urlopen(READY, timeout=1):
            return True
    except (urllib.error.URLError, OSError):
        return False


def main() -> int:
    """Run everything until the controller ends."""
    try:
        upstream = ThreadingHTTPServer(UPSTREAM, Upstream)
    except OSError as error:
        print(f"The example upstream cannot listen on {UPSTREAM[0]}:{UPSTREAM[1]}: {error.strerror}", file=sys.stderr)
        return 1
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    controller = subprocess.Popen([PROGRAM, "run", "--manifests", str(HERE), *FILES])
    try:
        while controller.poll() is None and not is_ready():
            time.sleep(0.1)
        if controller.poll() is None:
            print(WHAT_TO_OPEN, flush=True)
        return controller.wait()
    except KeyboardInterrupt:
        return controller.wait()


if __name__ == "__main__":
    sys.exit(main())
