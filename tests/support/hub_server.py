"""A server on 127.0.0.1 that speaks as much of the Hugging Face hub's protocol as uploads and data sets take.

The endpoints are those that huggingface_hub asks. Of an upload: repos/create, preupload, validate-yaml, the Git LFS
batch API with its uploads, and commit. Of a data set: its revision, tree, paths-info and resolve.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"
"""Of every data set."""


@dataclass
class Stored:
    """A data set on the hub: its files by path. `error` is the hub's code of what keeps people from them, if anything.

    Downloads of the `broken` ones fail.
    """

    files: dict[str, bytes]
    error: str = ""
    broken: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """The paths that were downloaded, and of which range of bytes."""

    def answer(self, rest: list[str], body: bytes) -> Any:
        """The JSON that answers a question about the repository; None: there is no such endpoint."""
        if rest[:1] == ["tree"]:
            folder = "/".join(rest[2:])
            return [one for one in self._entries() if not folder or one["path"].startswith(f"{folder}/")]
        if rest[:1] == ["paths-info"]:
            wanted = json.loads(body)["paths"]
            return [one for one in self._entries() if one["path"] in wanted]
        if rest[:1] in ([], ["revision"]) and rest[1:] in ([], ["main"], [COMMIT], ["v1"]):
            return {"_id": "1", "id": "", "sha": COMMIT, "siblings": [{"rfilename": path} for path in self.files]}
        return None

    def _entries(self) -> list[dict[str, Any]]:
        folders = {folder for path in self.files for folder in _folders(path)}
        files = [
            {"type": "file", "oid": hashlib.sha1(content).hexdigest(), "size": len(content), "path": path}
            for path, content in self.files.items()
        ]
        return [{"type": "directory", "oid": "0" * 40, "size": 0, "path": path} for path in sorted(folders)] + files


def _folders(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: at + 1]) for at in range(len(parts))]


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
    datasets: dict[str, Stored] = field(default_factory=dict)
    """Data sets that can be downloaded, by `org/name`."""

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


class Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        self.hub.tokens.add(self.headers.get("Authorization", ""))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = [unquote(part) for part in self.path.partition("?")[0].strip("/").split("/")]
        if parts[:2] == ["api", "datasets"] and parts[4:5] == ["paths-info"]:
            self._tell("/".join(parts[2:4]), parts[4:], body)
            return
        told = self.hub.answer(self.path.partition("?")[0], body)
        self._reply(403 if self.hub.refuses else 404 if told is None else 200, told)

    def do_PUT(self) -> None:
        self.hub.objects[self.path.rpartition("/")[2]] = self.rfile.read(int(self.headers["Content-Length"]))
        self._reply(200, {})

    def do_GET(self) -> None:
        parts = [unquote(part) for part in self.path.partition("?")[0].strip("/").split("/")]
        if parts[:2] == ["api", "datasets"]:
            self._tell("/".join(parts[2:4]), parts[4:], b"")
        elif parts[:1] == ["datasets"] and parts[3:4] == ["resolve"]:
            self._download("/".join(parts[1:3]), "/".join(parts[5:]))
        else:
            self._reply(404, {})

    do_HEAD = do_GET

    def _tell(self, name: str, rest: list[str], body: bytes) -> None:
        stored = self.hub.datasets.get(name)
        told = stored.answer(rest, body) if stored else None
        if told is not None:
            self._reply(200, told)
        else:
            self._refuse("RevisionNotFound" if stored else "RepoNotFound")

    def _refuse(self, code: str) -> None:
        self.send_response({"GatedRepo": 403}.get(code, 404))
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _download(self, name: str, path: str) -> None:
        stored = self.hub.datasets.get(name)
        if stored is None or stored.error or path not in stored.files:
            self._refuse((stored.error if stored else "RepoNotFound") or "EntryNotFound")
            return
        if path in stored.broken:
            self._reply(403, {})
            return
        content, wanted = stored.files[path], self.headers.get("Range", "")
        start = int(wanted.removeprefix("bytes=").partition("-")[0] or 0)
        self.send_response(206 if wanted else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content) - start))
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if self.command == "GET":
            stored.asked.append((path, wanted))
            self.wfile.write(content[start:])

    def _reply(self, status: int, told: Any) -> None:
        content = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def hub_server() -> Iterator[Hub]:
    """A server until the end of the block."""
    bound = type("Bound", (Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), bound)
    hub = bound.hub = Hub(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
