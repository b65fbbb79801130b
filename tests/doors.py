"""A running app, asked as strangers ask: every request goes to this machine, but with any headers."""

import http.client
import json
from urllib.parse import urlsplit

from vae.ui.app import create_app
from vae.ui.settings import Settings


class Door:
    """A running app, asked without a client of Gradio's, so that each header is ours to choose."""

    def __init__(self, url: str):
        self.address = urlsplit(url).port
        self.config = json.loads(self.ask("GET", "/config")[1])

    def ask(self, method: str, path: str, body: object = None, headers: dict | None = None) -> tuple[int, str, dict]:
        connection = http.client.HTTPConnection("127.0.0.1", self.address, timeout=60)
        sent = json.dumps(body) if body is not None else None
        connection.request(method, path, sent, {"Content-Type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace"), dict(answer.headers)

    def call(self, name: str, *data, **headers) -> str:
        """What the endpoint answers, or the sentence with which it refuses."""
        status, text, _ = self.ask("POST", f"/gradio_api/call/{name}", {"data": list(data)}, headers)
        assert status == 200, text
        return self.ask("GET", f"/gradio_api/call/{name}/{json.loads(text)['event_id']}", headers=headers)[1]

    def script(self, name: str, data: object, **headers) -> str:
        """What a function that the page's scripts call answers."""
        part = next(c for c in self.config["components"] if name in c["props"].get("server_fns", ()))
        body = {"session_hash": "0123456789", "component_id": part["id"], "fn_name": name, "data": data}
        return self.ask("POST", "/gradio_api/component_server", body, headers)[1]


def door(place, server_name: str, **facts):
    demo = create_app(Settings(None, place / "runs", True, None, **facts), server_name)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, server_name=server_name)
    return demo, Door(f"http://127.0.0.1:{urlsplit(url).port}")
