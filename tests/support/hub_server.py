"""A server on 127.0.0.1 that speaks as much of the Hugging Face hub's protocol as an upload takes.

The endpoints are those that huggingface_hub asks: repos/create, preupload, validate-yaml, the Git LFS batch API with
its uploads, and commit.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Hub:
    """What was uploaded: `files` by path, of the repository that was `created`; the `tokens` that requests carried.

    Files named *.safetensors go through LFS, as on the hub. A server that `refuses` answers 403 to everything.
    """

    url: str
    refuses: bool = False
    created: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    objects: dict[str, bytes] = field(default_factory=dict)

    def answer(self, path: str, body: bytes) -> Any:
        """The JSON that answers a POST; None: there is no such endpoint."""
        if path == "/api/repos/create":
            self.created = json.loads(body)
            return {"url": f"{self.url}/{self.created['organization']}/{self.created['name']}"}
        if path == "/api/validate-yaml":
            return {"errors": [], "warnings": []}
        if path.endswith("/preupload/main"):
            paths = [one["path"] for one in json.loads(body)["files"]]
            modes = ["lfs" if one.endswith(".safetensors") else "regular" for one in paths]
            told = zip(paths, modes, strict=True)
            return {"files": [{"path": one, "uploadMode": mode, "shouldIgnore": False} for one, mode in told]}
        if path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            upload = {one["oid"]: {"upload": {"href": f"{self.url}/lfs/{one['oid']}"}} for one in objects}
            return {"transfer": "basic", "objects": [{**one, "actions": upload[one["oid"]]} for one in objects]}
        return self._commit(body) if path.endswith("/commit/main") else None

    def _commit(self, body: bytes) -> Any:
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                self.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.files[value["path"]] = self.objects[value["oid"]]
        repository = f"{self.created['organization']}/{self.created['name']}"
        return {"commitUrl": f"{self.url}/{repository}/commit/1", "commitOid": "1", "pullRequestUrl": None}


@contextmanager
def hub_server() -> Iterator[Hub]:
    """A server until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            hub.tokens.add(self.headers.get("Authorization", ""))
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            told = hub.answer(self.path.partition("?")[0], body)
            self._reply(403 if hub.refuses else 404 if told is None else 200, told)

        def do_PUT(self) -> None:
            hub.objects[self.path.rpartition("/")[2]] = self.rfile.read(int(self.headers["Content-Length"]))
            self._reply(200, {})

        def do_GET(self) -> None:
            self._reply(404, {})

        def _reply(self, status: int, told: Any) -> None:
            content = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub = Hub(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
