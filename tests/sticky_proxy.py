"""A balancer in front of several app processes, as the README's nginx is: who has its cookie goes where it says, others
by their address."""

import hashlib
import http.client
import itertools
import secrets
import threading
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COOKIE = "studio"
OWN = ("connection", "transfer-encoding", "keep-alive")  # headers of one connection


class StickyProxy(ThreadingHTTPServer):
    """sticky: False sends each request on in turn, whoever it is from. counts: requests answered by each port."""

    daemon_threads, request_queue_size = True, 256

    def __init__(self, ports: list[int], sticky: bool = True):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ports, self.sticky, self.counts = ports, sticky, dict.fromkeys(ports, 0)
        self.turn, self.lock = itertools.cycle(ports), threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def port_for(self, key: str) -> int:
        with self.lock:
            digest = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big")
            port = self.ports[digest % len(self.ports)] if self.sticky else next(self.turn)
            self.counts[port] += 1
            return port


class _Handler(BaseHTTPRequestHandler):
    server: StickyProxy

    def do_GET(self) -> None:
        known = SimpleCookie(self.headers.get("cookie", "")).get(COOKIE)
        port = self.server.port_for(known.value if known else self.client_address[0])
        body = self.rfile.read(int(self.headers.get("content-length") or 0)) or None
        headers = {name: value for name, value in self.headers.items() if name.lower() not in OWN}
        upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        upstream.request(self.command, self.path, body, headers | {"X-Forwarded-For": self.client_address[0]})
        answer = upstream.getresponse()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in OWN:
                self.send_header(name, value)
        if known is None:
            self.send_header("Set-Cookie", f"{COOKIE}={secrets.token_hex(8)}; Path=/")
        self.end_headers()
        while part := answer.read1(65536):  # events are passed on as they come
            self.wfile.write(part)
            self.wfile.flush()
        upstream.close()

    do_POST = do_GET

    def log_message(self, *arguments) -> None:
        pass
