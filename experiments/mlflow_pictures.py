"""Take the pictures of MLflow's pages that the site shows, of the synthetic survey of the demo.

    gzfeatures demo && python experiments/mlflow_pictures.py     # writes docs/pictures/mlflow-*

A headless Chromium of 1400 px opens the addresses that `gzfeatures ui` prints: the ranking of the
experiment, the run of the comparison with its report, the model that came first, and its version.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from gzfeatures.tracking import Tracking

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from browser import Browser  # noqa: E402
from server import Server, free_port  # noqa: E402

MOST_BYTES = 150_000
SIZE = (1400, 900)
NO_PATHS = """for (const one of document.querySelectorAll('span, div'))
  if (!one.children.length && one.textContent.includes('file:///')) one.textContent = 'Path'"""
"""Where the artifacts lie on the machine that takes the pictures is nobody's business."""
KIND = "workflowType=machine_learning"
CLOSED = "document.querySelector('[data-component-id$=\"assistant.chat_panel.close\"]')?.click()"


def kept(browser: Browser, name: str, folder: Path, needed: str) -> None:
    """Write what the browser shows as a small picture, once the page holds the needed text."""
    browser.until(f"return document.body.innerText.includes({json.dumps(needed)})", 90)
    # the page goes on to fill its tables after its text has come
    time.sleep(4)
    browser.run(NO_PATHS)
    shot = Image.open(io.BytesIO(browser.picture(folder / f"{name}.png").read_bytes()))
    (folder / f"{name}.png").unlink()
    path = folder / f"{name}.webp"
    shot.convert("RGB").save(path, quality=70, method=6)
    if path.stat().st_size > MOST_BYTES:
        raise SystemExit(f"{path} has {path.stat().st_size} bytes, at most {MOST_BYTES} are kept")
    print(path.name, shot.size, path.stat().st_size, flush=True)


def main() -> None:
    """Open each page, and keep its picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path, nargs="?", default=Path(), help="folder of mlruns/")
    parser.add_argument("--experiment", default="demo")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "pictures")
    given = parser.parse_args()
    given.output.mkdir(exist_ok=True)
    tracking = Tracking(root=given.root.resolve() / "mlruns")
    with tracking.writing() as client:
        experiment = client.get_experiment_by_name(given.experiment).experiment_id
        comparison = client.search_runs(
            [experiment], "tags.kind = 'comparison' and tags.latest = 'yes'"
        )[0].info.run_id
        first = client.search_runs([experiment], "tags.latest = 'yes' and tags.tied LIKE 'first%'")[
            0
        ]
        champion = next(
            model for model in client.search_registered_models() if "champion" in model.aliases
        )
    version, model = champion.aliases["champion"], quote(champion.name)
    port = free_port()
    code = f"from gzfeatures.tracking import Tracking; Tracking({tracking.uri!r}).ui({port})"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        server = Server([sys.executable, "-c", code], port, "/health", folder / "ui.log")
        browser = Browser(folder / "browser", SIZE)
        runs = f"{server.base}/#/experiments/{experiment}/runs"
        try:
            browser.resize(*SIZE)
            browser.open(tracking.pages(port)[given.experiment])
            browser.until("return document.body.innerText.includes('1 interval')", 90)
            # the UI opens an assistant at the first visit, which a visitor closes
            browser.run(CLOSED)
            kept(browser, "mlflow-ranking", given.output, "5 head")
            browser.open(f"{runs}/{comparison}/artifacts/report.html?{KIND}")
            kept(browser, "mlflow-comparison", given.output, "report.html")
            browser.open(f"{runs}/{first.info.run_id}?{KIND}")
            kept(browser, "mlflow-first", given.output, "test galaxies")
            browser.open(f"{server.base}/#/models/{model}?{KIND}")
            kept(browser, "mlflow-champion", given.output, "champion")
            browser.open(f"{server.base}/#/models/{model}/versions/{version}?{KIND}")
            kept(browser, "mlflow-model", given.output, "Schema")
            print(*browser.complaints(), sep="\n")
        finally:
            browser.close()
            server.close()


if __name__ == "__main__":
    main()
