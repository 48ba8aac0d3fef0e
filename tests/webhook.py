"""A webhook on this machine, as a server of the user's would be."""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer


class Webhook:
    """What it was sent, the status that it answers, and `answers`: while it is not set, everybody waits."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.status = 200
        self.answers = threading.Event()
        self.answers.set()
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                web.paths.append(self.path)
                web.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                web.answers.wait(60.0)
                self.send_response(web.status)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 its base calls it so
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)

    def url(self, path: str = "told") -> str:
        """Its address, as apprise writes it."""
        return f"json://127.0.0.1:{self.server.server_port}/{path}?:hidden=x"

    @property
    def text(self) -> str:
        """All that it was told, in order."""
        return "\n".join(body["message"] for body in self.bodies)


@contextmanager
def webhook() -> Generator[Webhook]:
    """Serve one."""
    hook = Webhook()
    thread = threading.Thread(target=hook.server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        hook.answers.set()
        hook.server.shutdown()
        hook.server.server_close()
        thread.join()
