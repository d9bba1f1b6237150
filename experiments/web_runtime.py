"""An exported file in a browser: onnxruntime-web, served from 127.0.0.1 alone.

    npm install onnxruntime-web@1.30.0            # in a folder outside of the package
    python experiments/web_runtime.py MODEL.onnx --web node_modules/onnxruntime-web/dist
        [--count 16]

MODEL is a file of `gzfeatures export` that takes pixels. Simulated galaxies under its view are
given to onnxruntime here and to onnxruntime-web (WebAssembly, one thread) in a headless Chromium,
which asks no other address. Printed are the largest difference of a probability and of
`familiarity_p`, and the shares of galaxies with the same class and the same class set.
"""

from __future__ import annotations

import argparse
import functools
import json
import shutil
import sys
import tempfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from gzfeatures.networks.portable.runtimes import in_onnxruntime
from gzfeatures.portable.check_galaxies import simulated_pixels
from gzfeatures.portable.portable_head import PortableHead

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))
from browser import Browser

PAGE = """<!doctype html><script src="ort.wasm.min.js"></script><script>
window.answer = null;
async function run() {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = location.href.replace(/[^/]*$/, "");
  const pixels = new Uint8Array(await (await fetch("pixels.bin")).arrayBuffer());
  const session = await ort.InferenceSession.create("model.onnx");
  const given = new ort.Tensor("uint8", pixels, SHAPE);
  const out = await session.run({pixels: given});
  const plain = name => Array.from(out[name].data, Number);
  window.answer = JSON.stringify(Object.fromEntries(NAMES.map(name => [name, plain(name)])));
}
run().catch(error => { window.answer = JSON.stringify({error: String(error)}); });
</script>"""
NAMES = ("probabilities", "class", "class_set", "familiarity_p")


class Quiet(SimpleHTTPRequestHandler):
    """Serve files without a line for each."""

    def log_message(self, *words: object) -> None:
        """Say nothing."""


def in_browser(model: Path, web: Path, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Ask onnxruntime-web in Chromium, through a server on 127.0.0.1."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for file in (*web.glob("ort.wasm.min.js"), *web.glob("ort-wasm-simd-threaded.*")):
            shutil.copy(file, folder / file.name)
        shutil.copy(model, folder / "model.onnx")
        (folder / "pixels.bin").write_bytes(pixels.tobytes())
        page = PAGE.replace("SHAPE", json.dumps(pixels.shape)).replace("NAMES", json.dumps(NAMES))
        (folder / "page.html").write_text(page)
        handler = functools.partial(Quiet, directory=place)
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            browser = Browser(folder)
            try:
                browser.open(f"http://127.0.0.1:{server.server_address[1]}/page.html")
                answer = json.loads(browser.until("return window.answer", 300))
            finally:
                browser.close()
                server.shutdown()
    if "error" in answer:
        sys.exit(answer["error"])
    n = len(pixels)
    return {name: np.array(values).reshape(n, -1) for name, values in answer.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--web", type=Path, required=True, help="dist of onnxruntime-web")
    parser.add_argument("--count", type=int, default=16)
    given = parser.parse_args()
    view = PortableHead.open(given.model).extractors[0].view
    pixels = simulated_pixels(view, given.count)
    here = in_onnxruntime(given.model.read_bytes())(pixels)
    there = in_browser(given.model, given.web, pixels)
    own = {name: np.asarray(here[name]).reshape(len(pixels), -1) for name in NAMES}
    print(f"{given.model.name}, {len(pixels)} simulated galaxies, onnxruntime-web in Chromium")
    for name in ("probabilities", "familiarity_p"):
        print(f"  {name}: differ by up to {np.abs(own[name] - there[name]).max():.1e}")
    for name in ("class", "class_set"):
        print(f"  {name}: the same for {(own[name] == there[name]).all(1).mean():.4f}")


if __name__ == "__main__":
    main()
