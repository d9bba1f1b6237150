from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gzfeatures.errors import InputError, MissingExtraError, UnknownNameError
from gzfeatures.features.store import Store
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks.extraction import cluster
from gzfeatures.networks.extraction.extract import compute_table
from gzfeatures.networks.extraction.spec import Extraction

TWO_NODES = """
import sys, threading, time
from pathlib import Path
import numpy as np
from ray.cluster_utils import Cluster
from gzfeatures.features.store import Store
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks.extraction import cluster
from gzfeatures.networks.extraction.extract import compute_table
from gzfeatures.networks.extraction.spec import Extraction

root = Path(sys.argv[1])
cluster.PART_ROWS = 10
nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
doomed = nodes.add_node(num_cpus=1)

def kill() -> None:
    while len(list(root.glob("s/*/[0-9a-f]*.arrow"))) < 2:
        time.sleep(0.01)
    nodes.remove_node(doomed, allow_graceful=False)
    print("killed", len(list(root.glob("s/*/[0-9a-f]*.arrow"))), flush=True)

killer = threading.Thread(target=kill, daemon=True)
killer.start()
far = Extraction("resnet18", "none", view=View(size=64), precision="float32", on_bad="skip",
    progress=False,
                 store=Store(root / "s"), engine="ray", address=nodes.address)
table = compute_table(ImageSet.of(root / "i"), far)
killer.join()
table.write(root / "t.parquet")
print("rows", len(table), dict(table.skipped), flush=True)
nodes.shutdown()
"""


def draw(folder: Path, number: int) -> Path:
    folder.mkdir()
    for name in range(number):
        pixels = np.random.default_rng(name).integers(0, 256, (70, 70, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.jpg")
    return folder


def test_two_nodes_one_killed_half_way_give_the_complete_local_table(tmp_path: Path) -> None:
    pytest.importorskip("ray.cluster_utils")
    folder = draw(tmp_path / "i", 120)
    (folder / "bad.jpg").write_bytes((folder / "1.jpg").read_bytes()[:900])
    with subprocess.Popen(
        [sys.executable, "-c", TWO_NODES, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as driver:
        try:
            printed, _ = driver.communicate(timeout=240)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(driver.pid, signal.SIGKILL)
    assert "killed" in printed and "rows 120 {'bad': " in printed
    table = EmbeddingTable.read(tmp_path / "t.parquet")
    near = Extraction(
        "resnet18",
        "none",
        view=View(size=64),
        precision="float32",
        on_bad="skip",
        progress=False,
        store=Store(tmp_path / "near"),
    )
    local = compute_table(ImageSet.of(folder), near)
    assert table.extractor == local.extractor and table.ids.tolist() == local.ids.tolist()
    np.testing.assert_allclose(table.matrix, local.matrix, rtol=1e-5, atol=1e-5)


def test_what_is_stored_needs_no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, store = ImageSet.of(draw(tmp_path / "i", 3)), Store(tmp_path / "s")
    options = {"view": View(size=64), "precision": "float32", "progress": False, "store": store}
    compute_table(images, Extraction("resnet18", "none", **options))
    monkeypatch.setattr(cluster, "compute", None)
    made = compute_table(images, Extraction("resnet18", "none", **options, engine="ray")).made
    assert made is not None and made.reused == 3


def test_without_ray_the_install_line_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(MissingExtraError, match=r"pip install 'gzfeatures\[cluster\]'"),
        cluster.joined(None),
    ):
        pass


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_absent_cluster_is_one_line() -> None:
    pytest.importorskip("ray.data")
    with (
        pytest.raises(InputError, match=r"no Ray cluster answers.*leave the address out") as caught,
        cluster.joined("nonsense://here"),
    ):
        pass
    assert len(str(caught.value).splitlines()) == 1


def test_unknown_engine_is_refused() -> None:
    with pytest.raises(
        UnknownNameError, match="unknown engine; must be one of local, ray, found spark"
    ):
        Extraction(engine="spark")


def test_a_long_tmpdir_is_no_place_for_sockets_and_the_signal_stays_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="ray, of the extra cluster, is joined")
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    said: list[str] = []
    before = signal.getsignal(signal.SIGTERM)
    with cluster.joined(None, said.append) as ray:
        assert ray.is_initialized() and signal.getsignal(signal.SIGTERM) is before
    (line,) = said
    assert "$TMPDIR is too long" in line and not Path(line.split(" in ")[1].split(":")[0]).exists()


def test_a_short_tmpdir_is_rays_own_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/tmp")
    with cluster._folder(print) as place:
        assert place is None
