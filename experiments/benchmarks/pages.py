"""The interactive map in a headless Chromium that draws in software: size, time to the first
picture, frames a second.

One page holds points alone, on which the map is moved for some seconds: with every point drawn in
every frame, and as the page does it, with fewer points while it moves. With `--images` a second
page holds thumbnails. `--against FILE` moves the same points in regl-scatterplot, bundled into one
script that sets `window.createScatterplot` (for instance by `esbuild --bundle`), in turn with ours.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.images.image_set import ImageSet
from gzfeatures.maps.map_page import MapPage

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from browser import Browser

MOVE = """
const done = {times: []}; window.moved = null;
const began = performance.now();
const step = (now) => {
  done.times.push(now);
  if (now - began > SECONDS * 1000) { window.moved = done.times; return; }
  MOVING; requestAnimationFrame(step);
};
requestAnimationFrame(step);
"""
OURS = "shift(6 * Math.sin(now / 300), 4 * Math.cos(now / 400)); FIXED redraw()"
EVERY = "pace.most = Infinity; pace.last = now - 30;"
THEIRS = """const m = plot.get('cameraView').slice();
m[12] += 0.012 * Math.sin(now / 300); m[13] += 0.008 * Math.cos(now / 400);
plot.set({cameraView: m})"""
PAGE = """<!doctype html><meta charset="utf-8">
<style>html,body{{margin:0;height:100%}}canvas{{width:100%;height:100%}}</style>
<canvas id="c"></canvas><script>{script}</script><script>
const raw = Uint8Array.from(atob("{places}"), c => c.charCodeAt(0));
const flat = new Float32Array(raw.buffer);
const points = Array.from({{length: flat.length / 3}}, (_, i) =>
  [flat[3 * i], flat[3 * i + 1], flat[3 * i + 2]]);
const plot = createScatterplot({{
  canvas: document.getElementById("c"), width: innerWidth, height: innerHeight,
  pointSize: 2.4, colorBy: "valueA", opacity: 0.6, pointColor: {colours}}});
plot.draw(points).then(() => {{
  document.body.dataset.drawn = String(Math.round(performance.now()));
}});
</script>"""


def crowd(n: int, seed: int = 0) -> tuple[np.ndarray, Labels]:
    """Clumps with a class each, as a map has."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 12, n)
    places = rng.normal(size=(12, 2))[codes] * 4 + rng.normal(size=(n, 2))
    ids = np.asarray([f"g{i}" for i in range(n)], dtype=object)
    return places.astype(np.float32), Labels(
        ids, tuple(f"class {i}" for i in range(12)), codes, scheme="twelve"
    )


def frames(browser: Browser, moving: str, seconds: float) -> dict[str, float]:
    """Frames per second, the median and the slowest twentieth, while the map moves."""
    before = processor(browser)
    browser.run(MOVE.replace("SECONDS", str(seconds)).replace("MOVING", moving))
    times = np.asarray(browser.until("return window.moved", seconds + 20))
    spent = 1000 * (processor(browser) - before) / len(times)
    gaps = np.diff(times[times > times[0] + 700])  # the page needs a moment to find its pace
    median, slow = 1000 / np.percentile(gaps, [50, 95])
    return {"median": float(median), "slow": float(slow), "processor_ms_per_frame": spent}


def processor(browser: Browser) -> float:
    """Processor seconds that the driver's processes have spent so far, user and system."""
    stats = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            stats[int(path.parent.name)] = path.read_text().rsplit(")", 1)[1].split()
    ours = {browser.process.pid}
    while len(
        more := ours | {pid for pid, fields in stats.items() if int(fields[1]) in ours}
    ) > len(ours):
        ours = more
    ticks = sum(int(stats[pid][11]) + int(stats[pid][12]) for pid in ours & stats.keys())
    return ticks / os.sysconf("SC_CLK_TCK")


def opened(browser: Browser, path: Path) -> dict[str, float]:
    browser.open(path)
    first = float(browser.until("return document.body.dataset.drawn", 60))
    return {
        "megabytes": path.stat().st_size / 1e6,
        "drawn_ms": first,
        "requests": float(len(browser.requests())),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=Path, help="folder or archive of images")
    parser.add_argument("--galaxies", type=int, default=5000)
    parser.add_argument("--against", type=Path, help="script of regl-scatterplot")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        places, labels = crowd(given.points)
        many = MapPage(labels.ids, places, places, settings={}, quality={}, labels=labels).write(
            folder / "many.html"
        )
        browser = Browser(folder)
        if given.images is not None:
            images = ImageSet.of(given.images)
            images = images.select(images.ids[: given.galaxies])
            n = len(images)
            few = MapPage(
                images.ids,
                places[:n],
                places[:n],
                settings={},
                quality={},
                images=images,
            ).write(folder / "few.html")
            print(json.dumps({"thumbnails": n, **opened(browser, few)}), flush=True)
        theirs = None
        if given.against is not None:
            theirs = folder / "theirs.html"
            write_theirs(theirs, given.against, places, labels)
        for _ in range(given.rounds):
            print(json.dumps({"points": given.points, **opened(browser, many)}), flush=True)
            every = frames(browser, OURS.replace("FIXED", EVERY), given.seconds)
            print(json.dumps({"every point": every}), flush=True)
            paced = frames(browser, OURS.replace("FIXED", ""), given.seconds)
            print(
                json.dumps({"as the page does": paced, "drawn": browser.run("return pace.most")}),
                flush=True,
            )
            if theirs is not None:
                print(json.dumps({"regl-scatterplot": opened(browser, theirs)}), flush=True)
                print(
                    json.dumps({"regl-scatterplot": frames(browser, THEIRS, given.seconds)}),
                    flush=True,
                )
        browser.close()


def write_theirs(path: Path, script: Path, places: np.ndarray, labels: Labels) -> None:
    import base64

    from gzfeatures.figures.palette import CLASS_COLOURS

    span = np.abs(places).max()
    rows = np.column_stack([places / span, labels.codes]).astype("<f4")
    path.write_text(
        PAGE.format(
            script=script.read_text(encoding="utf-8").replace("</script", "<\\/script"),
            places=base64.b64encode(rows.tobytes()).decode(),
            colours=json.dumps(CLASS_COLOURS),
        ),
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
