"""A MinIO of our own on a free port of this machine, and how many requests it has answered."""

import contextlib
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

USER, PASSWORD = "s3sync-peers", "s3sync-peers-secret"

#: Starting over a few gigabytes of data takes a second or two; a minute is a machine that does not work.
START_SECONDS = 60

#: No proxy of the environment stands between us and this machine.
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Minio:
    """Where it listens, and its metrics. Metrics are public: nothing but this machine reaches it."""

    def __init__(self, endpoint: str, process: subprocess.Popen[bytes]) -> None:
        self.endpoint, self.process = endpoint, process

    def environment(self) -> dict[str, str]:
        """What a program needs to reach it, under AWS' names. Nothing of the machine's own accounts is left in."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_") and not name.lower().endswith("_proxy")}
        return kept | {
            "AWS_ACCESS_KEY_ID": USER,
            "AWS_SECRET_ACCESS_KEY": PASSWORD,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def requests(self) -> int:
        """S3 requests answered since the start, of every kind. Its metrics' third version is not cached, the second is for ten seconds."""
        with direct.open(f"{self.endpoint}/minio/metrics/v3/api/requests", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines if line.startswith("minio_api_requests_total{"))


def ready(endpoint: str, server: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(urllib.error.URLError, OSError), direct.open(f"{endpoint}/minio/health/ready", timeout=2) as answer:
            if answer.status == 200:
                return True
        time.sleep(0.1)
    return False


@contextlib.contextmanager
def running(binary: Path, folder: Path, log: Path) -> Iterator[Minio]:
    """A server over `folder`, ended with the block. Uploads that a killed program left go within minutes, not within a day."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MINIO_")} | {
        "MINIO_ROOT_USER": USER,
        "MINIO_ROOT_PASSWORD": PASSWORD,
        "MINIO_PROMETHEUS_AUTH_TYPE": "public",
        "MINIO_CI_CD": "1",
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
        "MINIO_API_STALE_UPLOADS_EXPIRY": "10m",
        "MINIO_API_STALE_UPLOADS_CLEANUP_INTERVAL": "5m",
    }
    for _ in range(3):  # another process may take the port first
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        with log.open("wb") as out:
            command: list[str | Path] = [binary, "server", folder, "--address", address, "--quiet"]
            server = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            if ready(f"http://{address}", server):
                yield Minio(f"http://{address}", server)
                return
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    raise SystemExit(f"MinIO does not start; its log is {log}")
