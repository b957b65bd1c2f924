"""A real server for the tests. EDDYLINE names the program, ``target/debug/eddyline`` by default."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eddyline import Eddyline

PROGRAM = os.environ.get("EDDYLINE") or str(Path(__file__).parents[3] / "target/debug/eddyline")
SECRET = "a secret for tests of at least 32 bytes"
ITEMS = ["weir", "mill", "ford", "lock", "quay"]


class Server:
    """A server with a store of its own, which can stop and start again on its port."""

    def __init__(self, secret: str | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._secret = secret
        self._port = 0
        self._child: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> Server:
        env = {key: value for key, value in os.environ.items() if key != "EDDYLINE_SECRET"}
        if self._secret:
            env["EDDYLINE_SECRET"] = self._secret
        given = [PROGRAM, "serve", "--listen", f"127.0.0.1:{self._port}", "--store", f"file:{self._folder.name}"]
        self._child = subprocess.Popen(given, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._child.stdout
        for line in self._child.stdout:
            if found := re.match(r"listening on http://127\.0\.0\.1:(\d+)", line):
                self._port = int(found[1])
                return self
        raise RuntimeError("the server did not start")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._child is not None:
            self._child.send_signal(how)
            self._child.wait()
            if self._child.stdout:
                self._child.stdout.close()
            self._child = None

    def end(self) -> None:
        self.stop()
        self._folder.cleanup()


def signed(claims: dict[str, Any]) -> str:
    """A token of the server's secret."""

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    head = part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    text = f"{head}.{part(json.dumps({'exp': int(time.time()) + 600, **claims}).encode())}"
    return f"{text}.{part(hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).digest())}"


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    server = Server().start()
    with Eddyline(server.url) as client:
        client.create_items([{"item": key, "text": f"The {key} tonight", "topics": ["rivers"]} for key in ITEMS])
    yield server
    server.end()


@pytest.fixture
def guarded() -> Iterator[Server]:
    """A server that asks for a token."""
    server = Server(SECRET).start()
    yield server
    server.end()


@pytest.fixture
def client(server: Server) -> Iterator[Eddyline]:
    with Eddyline(server.url) as client:
        yield client


@pytest.fixture
def person(client: Eddyline, request: pytest.FixtureRequest) -> str:
    """A user of this test alone."""
    key = f"{request.node.name}/ä"
    client.put_user(key, name=request.node.name)
    return key
