"""Imported by the fork server before it forks: every later child begins with all libraries loaded
and warm.

A fresh interpreter needs seconds to import what a verb needs; a fork needs milliseconds, which is
what makes hundreds of deaths affordable. Everything here runs on one thread: a pool of threads does
not survive a fork.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib
import json
import os
import tempfile
import threading
from pathlib import Path

import numpy as np
import torch

from gzfeatures.cli import VERBS
from gzfeatures.errors import InputError
from gzfeatures.features import vector_cache
from gzfeatures.features.extractor import Extractor
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split
from gzfeatures.heads.fit import fit
from gzfeatures.images.view import View
from gzfeatures.maps.umap import project
from gzfeatures.networks.extraction import forward
from gzfeatures.networks.extraction.jobs import job
from gzfeatures.web.local_server import TOKEN, LocalServer

WARM = os.getpid()
"""The process that loaded this module: the fork server, if all is well."""


def compile_at_once(libraries: Path) -> None:
    """Compile from the first image on; what the compiler made once is kept in a folder and taken.

    Parameters
    ----------
    libraries : Path
        Of one network. The compiler itself takes a minute, and a fault meets our files, not it.
    """
    compiler = forward.compile_ahead

    def compile_ahead(network: torch.nn.Module, example: torch.Tensor, workshop: Path) -> bytes:
        kept = libraries / f"{'x'.join(map(str, example.shape))}.so"
        if not kept.exists():
            libraries.mkdir(exist_ok=True)
            kept.write_bytes(compiler(network, example, workshop))
        return kept.read_bytes()

    forward.compile_ahead = compile_ahead
    forward.TorchForward.compile_from = 0.0


def volunteer(confirmed: Path) -> None:
    """Have a page labelled while it is served, and the server end when all galaxies have a label.

    Parameters
    ----------
    confirmed : Path
        Each galaxy is noted here once the server has said that its label is kept.
    """
    serve_forever = LocalServer.serve_forever

    def serve(self: LocalServer, poll_interval: float = 0.5) -> None:
        threading.Thread(target=serve_forever, args=(self, 0.01), daemon=True).start()
        try:
            for number, name in enumerate(EmbeddingTable.read(Path("table.parquet")).ids):
                click(self, str(name), ("odd", "plain")[number % 2])
                with confirmed.open("a") as notes:
                    notes.write(f"{name}\n")
        finally:
            self.shutdown()

    LocalServer.serve_forever = serve


def click(server: LocalServer, name: str, label: str) -> None:
    """Send one answer as the page does; a refusal ends the verb."""
    answer = {"id": name, "label": label, "asked": "user", "round": 0, "who": "me", "when": "now"}
    host = server.hosts[0]
    headers = {"Origin": f"http://{host}", "Content-Type": "application/json", TOKEN: server.token}
    connection = http.client.HTTPConnection(host, timeout=60)
    connection.request("POST", "/answers", json.dumps({"answers": [answer]}), headers)
    reply = connection.getresponse()
    text = reply.read().decode()
    connection.close()
    if reply.status != 200:
        raise InputError("label is not kept", found=text)


for module in (
    *(f"gzfeatures.cli.verbs.{verbs}" for verbs in VERBS),
    *(
        "gzfeatures.experiment.run",
        "gzfeatures.tracking",
        "gzfeatures.networks.training.train",
        "gzfeatures.networks.extraction.cpu",
    ),
    *(
        "gzfeatures.report.figures",
        "gzfeatures.tracking.models",
        "gzfeatures.surveys.cutouts",
        "mlflow.pyfunc",
    ),
    *("mlflow.store.tracking.sqlalchemy_store", "alembic.command", "sklearn.neighbors"),
    *("gzfeatures.audit.audit", "gzfeatures.audit.page", "gzfeatures.portable.export"),
):
    importlib.import_module(module)
for module in ("onnx", "onnxruntime", "openvino", "hats", "hats.io.parquet_metadata"):
    with contextlib.suppress(ImportError):  # extras: without one its step is left out
        importlib.import_module(module)

torch.set_num_threads(1)
# many small shards, and compaction: more moments at which to die
job.SHARD_ROWS, vector_cache.MANY = 8, 4

ids = np.array([f"g{number}" for number in range(60)], dtype=object)
vectors = np.random.default_rng(0).normal(size=(60, 16)).astype(np.float32)
digests = np.full(60, "0" * 64, dtype=object)
table = EmbeddingTable(
    ids, digests, vectors, Extractor("r", "r", "random:0", "pool", 16, View(size=32))
)
labels = Labels(ids, ("a", "b"), np.arange(60) % 2)
project(table, labels)
head = fit(table, labels, "logistic", split=Split.draw(labels))
with tempfile.TemporaryDirectory() as folder:
    table.write(Path(folder) / "t.parquet")
    head.write(Path(folder) / "h.skops")
