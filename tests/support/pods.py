"""A pretend Kubernetes: an API server for the executor plugin, whose pods are folders here."""

import base64
import json
import re
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from support.stores import SCRIPT

CONFIG = """
apiVersion: v1
kind: Config
current-context: pretend
contexts: [{{name: pretend, context: {{cluster: pretend, user: nobody}}}}]
clusters: [{{name: pretend, cluster: {{server: "{url}"}}}}]
users: [{{name: nobody, user: {{}}}}]
"""


class Kubernetes:
    """bodies: of the jobs asked for, by name. Each runs as its container would, in an empty folder,
    with what the image has: the environment of these tests."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bodies, self.ids, self.secrets = folder, {}, {}, {}

    def post(self, path: str, body: dict) -> dict:
        name = body["metadata"]["name"]
        if path.endswith("/secrets"):
            values = {key: base64.b64decode(v).decode() for key, v in body["data"].items()}
            self.secrets[name] = values
            return body
        (container,) = body["spec"]["template"]["spec"]["containers"]
        self.bodies[name] = body
        lines = []
        for variable in container["env"]:
            at = variable["valueFrom"]["secretKeyRef"]
            lines.append(f"export {variable['name']}='{self.secrets[at['name']][at['key']]}'")
        self.folder.mkdir(parents=True, exist_ok=True)
        script = self.folder / f"{name}.sh"
        script.write_text("\n".join([*lines, container["args"][1]]))
        done = subprocess.run(
            [SCRIPT, "submit", self.folder, script], capture_output=True, text=True, check=True
        )
        self.ids[name] = done.stdout.strip()
        return body

    def get(self, path: str) -> dict:
        if not (found := re.search(r"/jobs/([\w-]+)/status", path)):
            return {"items": []}
        words = [SCRIPT, "status", self.folder, self.ids[found[1]]]
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
        status = {"success": {"succeeded": 1}, "failed": {"failed": 1}, "running": {"active": 1}}
        return {"metadata": {"name": found[1]}, "status": status[said]}


@contextmanager
def kubernetes(folder: Path):
    """(the pretend cluster, the file for KUBECONFIG)."""
    cluster = Kubernetes(folder)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *words):
            pass

        def answer(self, content):
            text = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def read(self):
            return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")

        def do_POST(self):
            self.answer(cluster.post(self.path.split("?")[0], self.read()))

        def do_GET(self):
            self.answer(cluster.get(self.path.split("?")[0]))

        def do_DELETE(self):
            self.read()
            self.answer({})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "kubeconfig"
    config.write_text(CONFIG.format(url=f"http://127.0.0.1:{server.server_port}"))
    yield cluster, config
    server.shutdown()
