"""A server that sends the wrong file, breaks off, is slow, or is not there."""

import os
import shutil
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pooch

import siamdecon as sd
from benchmarks.stress import Lost, expected
from siamdecon.files import samples

TRIED = (
    "no network, wrong checksum, cut off, slow, errors and redirections, by a server on 127.0.0.1"
)
HOLDS = "one line that names the address; what was in the cache is still there, and nothing else"
COUNT, SECONDS = 20, 90


def attempt(rng: np.random.Generator, folder: Path) -> str:
    """Download three files of which one goes wrong, with one in the cache already."""
    files = folder / "files"
    files.mkdir()
    for i in range(3):
        sd.write_image(
            files / f"{'abc'[i]}1x1.png", rng.integers(0, 255, (300, 300), dtype=np.uint8)
        )
    registry = {path.name: pooch.file_hash(path) for path in sorted(files.iterdir())}
    cache = folder / "cache" / "siamdecon"
    cache.mkdir(parents=True)
    shutil.copy(files / "a1x1.png", cache)
    how = str(
        rng.choice(["none", "wrong", "cut", "slow", "stalls", "404", "500", "loop", "html", "good"])
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            whole = (files / self.path.rpartition("/")[2]).read_bytes()
            bad = self.path.endswith("c1x1.png")
            if bad and how in ("404", "500"):
                return self.send_error(int(how))
            if bad and how == "loop":
                self.send_response(302)
                self.send_header("Location", self.path)
                return self.end_headers()
            body = {"wrong": whole[:-9] + b"x" * 9, "html": b"<html>log in</html>"}.get(how, whole)
            body = body if bad else whole
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if bad and how == "cut":
                body = body[: len(body) // 2]
            if bad and how in ("slow", "stalls"):
                for start in range(0, len(body), 4096):
                    self.wfile.write(body[start : start + 4096])
                    time.sleep(0.02 if how == "slow" else 45)
                return None
            return self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/files/"
    if how == "none":
        server.shutdown(), server.server_close()
    registered, os.environ["XDG_CACHE_HOME"] = samples._registry, str(folder / "cache")
    samples._registry = lambda: registry
    try:
        found = sd.load_benchmark(url=url, progress=False)
        outcome = "loaded"
        if len(found) != 3 or how not in ("slow", "good"):
            raise Lost(f"{how}: {len(found)} images, and nothing was said")
    except Lost:
        raise
    except Exception as error:
        outcome = "said"
        expected(error)
        if url not in str(error) or how in ("slow", "good"):
            raise Lost(f"{how}: {error}") from error
    finally:
        samples._registry = registered
        server.shutdown(), server.server_close()
    for path in cache.iterdir():
        if registry.get(path.name) != pooch.file_hash(path):
            raise Lost(f"{how}: {path.name} in the cache is not whole")
    if not (cache / "a1x1.png").exists():
        raise Lost(f"{how}: a good file has vanished from the cache")
    return f"{how}: {outcome}"
