"""Stores for runs without a shared disk: an S3 server with faults, and jobs that run elsewhere."""

import contextlib
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from compileall import compile_dir
from pathlib import Path

import pytest

from support.commands import ROOT
from support.pipeline import copy_project, environment

SCRIPT = ROOT / "tests/cluster/elsewhere.sh"
KEY = "right"


class S3:
    """moto's server, which counts what is moved, is out for a while and knows one access key."""

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Silent(WSGIRequestHandler):
            def log(self, *words, **more):
                pass

        self.inner = DomainDispatcherApplication(create_backend_app)
        self.requests: Counter = Counter()  # (method, path) to how often
        self.bytes: Counter = Counter()
        self.out_until, self.refused = 0.0, 0
        self.server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=Silent)
        self.url = f"http://127.0.0.1:{self.server.port}"
        self.bucket = f"vdiff-{self.server.port}"  # moto's state is that of the process
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __call__(self, environ, start_response):
        if time.monotonic() < self.out_until:
            self.refused += 1
            return self._refuse(start_response, "503 Service Unavailable", "SlowDown")
        if f"Credential={KEY}/" not in environ.get("HTTP_AUTHORIZATION", ""):
            return self._refuse(start_response, "403 Forbidden", "InvalidAccessKeyId")
        what = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.requests[what] += 1
        self.bytes[what] += int(environ.get("CONTENT_LENGTH") or 0)

        def counted(status, headers, *more):
            if what[0] == "GET":
                self.bytes[what] += int(dict(headers).get("Content-Length", 0))
            return start_response(status, headers, *more)

        return self.inner(environ, counted)

    def _refuse(self, start_response, status, code):
        body = f"<Error><Code>{code}</Code></Error>".encode()
        start_response(status, [("Content-Type", "application/xml")])
        return [body]

    def fails_for(self, seconds):
        self.out_until = time.monotonic() + seconds

    def moved(self, method, name):
        """How often an object was moved: PUT or GET."""
        return self.requests[method, f"/{self.bucket}/{name}"]

    def files(self):
        """Every object of the bucket, by its key."""
        import boto3

        keys = {"aws_access_key_id": KEY, "aws_secret_access_key": "x"}
        client = boto3.client("s3", endpoint_url=self.url, region_name="us-east-1", **keys)
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        names = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return {n: client.get_object(Bucket=self.bucket, Key=n)["Body"].read() for n in names}

    def words(self):
        return [
            "--default-storage-provider=s3", f"--default-storage-prefix=s3://{self.bucket}",
            f"--storage-s3-endpoint-url={self.url}",
        ]  # fmt: skip


@contextlib.contextmanager
def s3_server():
    server = S3()
    yield server
    server.server.shutdown()


def needs_namespaces() -> None:
    """Skips where jobs cannot have a disk of their own."""
    able = ["unshare", "--user", "--map-root-user", "--mount", "true"]
    if not shutil.which("unshare") or subprocess.run(able, capture_output=True).returncode:
        pytest.skip("needs leave to make namespaces, for jobs with a disk of their own")


class Away:
    """A main process and the machines of its jobs, which share nothing but a store."""

    def __init__(self, folder: Path, words: list[str]) -> None:
        needs_namespaces()
        self.main, self.far = folder / "main", folder / "far"
        copy_project(self.main, own_code=True)
        copy_project(self.far / "image", own_code=True)
        compile_dir(self.far / "image" / "vdiff", quiet=1)  # what is not: once for all jobs
        self.words = words

    def start(self, *words, preset="preset=smoke", key=KEY):
        """Snakemake, whose output is in output.txt; words may end with more of --config."""
        at = words.index("--") if "--" in words else len(words)
        command = [
            sys.executable, "-m", "snakemake", *words[:at], "--executor=cluster-generic",
            f"--cluster-generic-submit-cmd={SCRIPT} submit {self.far}",
            f"--cluster-generic-status-cmd={SCRIPT} status {self.far}",
            *self.words, "--shared-fs-usage=none", "--jobs=2", "--local-cores=2",
            "--seconds-between-status-checks=1", "--config", preset, *words[at + 1 :],
        ]  # fmt: skip
        keys = {
            "SNAKEMAKE_STORAGE_S3_ACCESS_KEY": key, "SNAKEMAKE_STORAGE_S3_SECRET_KEY": "x",
        }  # fmt: skip
        with (self.main / "output.txt").open("ab") as output:
            return subprocess.Popen(
                command, cwd=self.main, env={**environment(self.main), **keys},
                stdout=output, stderr=output,
            )  # fmt: skip

    def said(self):
        return (self.main / "output.txt").read_text()

    def run(self, *words, code=0, **more):
        """The output of a run that ends with that code."""
        before = len(self.said()) if (self.main / "output.txt").exists() else 0
        done = self.start(*words, **more).wait(timeout=500)
        outputs = "\n".join(f.read_text()[-1500:] for f in self.far.glob("jobs/*/output.txt"))
        assert done == code, self.said()[-3000:] + outputs[-6000:]
        return self.said()[before:]

    def pids(self, word):
        """The processes of jobs here whose command has a word."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                inside = (entry / "cwd").resolve().is_relative_to(self.far / "jobs")
                if inside and re.search(rf"\b{word}\b", (entry / "cmdline").read_text()):
                    found.append(int(entry.name))
        return found
