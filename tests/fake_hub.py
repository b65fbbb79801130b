"""A Hugging Face Hub of folders, served on loopback: just the requests that reading and publishing a model make."""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub:
    """Repositories are folders root/org/name. `gated`: those that want a token; `served`: (repository, file) of every
    file whose content was sent; `uploads`: repository -> file -> content."""

    def __init__(self, root: Path):
        self.root = root
        self.closed = False
        self.gated: set[str] = set()
        self.served: list[tuple[str, str]] = []
        self.uploads: dict[str, dict[str, bytes]] = {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.closed = True  # connections that are still open go unanswered
        self.server.shutdown()
        self.server.server_close()

    def _handler(hub):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def answer(self, status, body=b"", head=(), content=True):
                self.send_response(status)
                for key, value in head:
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if content:
                    self.wfile.write(body)

            def error(self, status, code, content=True):
                body = json.dumps({"error": code}).encode()
                self.answer(status, body, [("X-Error-Code", code), ("X-Error-Message", code)], content)

            def do_HEAD(self):
                self.get(content=False)

            def do_GET(self):
                self.get(content=True)

            def get(self, content):
                if hub.closed:
                    self.close_connection = True
                    return None
                parts = self.path.split("?")[0].strip("/").split("/")
                api = parts[:2] == ["api", "models"]
                parts = parts[2:] if api else parts
                repo, rest = "/".join(parts[:2]), parts[2:]
                folder = hub.root / repo
                if not folder.is_dir():
                    return self.error(404, "RepoNotFound", content)
                revision = rest[1] if len(rest) > 1 else "main"
                if revision not in ("main", "v2", COMMIT):
                    return self.error(404, "RevisionNotFound", content)
                if api:
                    files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
                    siblings = [
                        {"rfilename": p.relative_to(folder).as_posix(), "size": p.stat().st_size} for p in files
                    ]
                    info = {
                        "id": repo,
                        "modelId": repo,
                        "sha": COMMIT,
                        "siblings": siblings,
                        "tags": [],
                        "private": False,
                    }
                    return self.answer(200, json.dumps(info).encode(), [("Content-Type", "application/json")])
                if repo in hub.gated and self.headers.get("Authorization") != "Bearer good-token":
                    return self.error(401, "GatedRepo", content)
                file = folder.joinpath(*rest[2:])
                if not file.is_file():
                    return self.error(404, "EntryNotFound", content)
                body, status = file.read_bytes(), 200
                head = [("ETag", f'"{hashlib.sha256(body).hexdigest()}"'), ("X-Repo-Commit", COMMIT)]
                head.append(("Accept-Ranges", "bytes"))
                if "Range" in self.headers:
                    first, last = self.headers["Range"].removeprefix("bytes=").split("-")
                    total, first = len(body), int(first)
                    body = body[first : int(last) + 1 if last else None]
                    head.append(("Content-Range", f"bytes {first}-{first + len(body) - 1}/{total}"))
                    status = 206
                if content:
                    hub.served.append((repo, "/".join(rest[2:])))
                self.answer(status, body, head, content)

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = self.path.split("?")[0]
                if self.headers.get("Authorization") != "Bearer good-token":
                    return self.error(401, "Unauthorized")
                if path == "/api/repos/create":
                    wanted = json.loads(body)
                    repo = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
                    hub.uploads.setdefault(repo, {})
                    return self.answer(200, json.dumps({"url": f"{hub.url}/{repo}", "id": repo}).encode())
                repo = "/".join(path.strip("/").split("/")[2:4])
                if "/preupload/" in path:
                    files = [
                        {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                        for f in json.loads(body)["files"]
                    ]
                    return self.answer(200, json.dumps({"files": files}).encode())
                if "/commit/" in path:
                    for line in body.splitlines():
                        entry = json.loads(line)
                        if entry["key"] == "file":
                            content = base64.b64decode(entry["value"]["content"])
                            hub.uploads[repo][entry["value"]["path"]] = content
                    done = {"commitUrl": f"{hub.url}/{repo}/commit/{COMMIT}", "commitOid": COMMIT, "success": True}
                    return self.answer(200, json.dumps(done).encode())
                if path == "/api/validate-yaml":
                    return self.answer(200, b'{"errors": [], "warnings": []}')
                self.error(404, "EntryNotFound")

        return Handler
