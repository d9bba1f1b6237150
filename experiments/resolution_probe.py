"""Ask whether a full-size galaxy can be told from a small one of the same class, before and after
the common geometry.

    python experiments/resolution_probe.py --data ../shared/data --out DIR [--count 200]
    python experiments/resolution_probe.py --data ../shared/data --out DIR --kernels

Full-size galaxies of the unbiased draw and as many small ones of the same class, none of them of
the own tenth. A logistic regression (5 folds, standardised) on the vectors of googlenet-gz2, and
one on the radial power spectrum and the roughness of the colours: AUROC .5 says that they cannot be
told apart. "before" is what a view sees of each file, "after" is `common_pixels.frame`. A third
probe tells halves of the full-size ones apart: what chance gives.

`--kernels` prints how far the mean log spectrum of full-size galaxies lies from that of small ones,
for Pillow's kernels: what the small ones were made with.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from common_pixels import CLASSES, FRAME, MIDDLE, SIDE, frame, known
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import gzfeatures as gz
from gzfeatures.features.backbones import BACKBONES

Pixels: TypeAlias = npt.NDArray[np.uint8]
Floats: TypeAlias = npt.NDArray[np.float64]
FIELD = MIDDLE / FRAME
KERNELS = ("BOX", "BILINEAR", "HAMMING", "BICUBIC", "LANCZOS")


def texture(pixels: Pixels) -> Floats:
    """Log power by spatial frequency, of 0 to 0.7 cycles per px, and roughness of the two
    colours."""
    grey = pixels.astype(float).mean(2)
    side = len(grey)
    window = np.hanning(side)
    power = (
        np.abs(np.fft.fftshift(np.fft.fft2((grey - grey.mean()) * window[:, None] * window))) ** 2
    )
    down, across = np.indices(power.shape) - side // 2
    ring = np.hypot(down, across).astype(int)
    radial = np.bincount(ring.ravel(), power.ravel()) / np.bincount(ring.ravel())
    colours = np.asarray(Image.fromarray(pixels).convert("YCbCr"), float)[:, :, 1:]
    rough = np.log(np.abs(np.diff(colours, axis=0)).mean((0, 1)) + 0.01)
    return np.concatenate([np.log(radial[: int(side * 0.7)] + 1), rough])


def auroc(rows: Floats, truth: npt.NDArray[np.bool_]) -> float:
    """Area under the curve of out-of-fold scores."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return float(
        roc_auc_score(
            truth, cross_val_predict(model, rows, truth, cv=folds, method="decision_function")
        )
    )


def vectors(images: gz.ImageSet) -> Floats:
    """Vectors of googlenet-gz2 under its own view."""
    return np.asarray(gz.extract(images, "googlenet-gz2", progress=False).matrix, float)


def as_they_are(files: list[str], full: int) -> gz.ImageSet:
    """The files themselves, the first `full` of them full-size."""
    names = np.asarray([Path(file).stem for file in files], object)
    whole = gz.ImageSet.of(Path(files[0]).parent, ids=names[:full])
    return whole.joined(gz.ImageSet.of(Path(files[-1]).parent, ids=names[full:], field=FIELD))


def as_viewed(file: str, full_size: bool) -> Pixels:
    """The middle 240 px of a file at 128 px as `View` makes them."""
    view = gz.View(size=SIDE, crop=FIELD if full_size else 1.0)
    return view.apply(Image.open(file))


def probe(data: Path, out: Path, count: int) -> dict[str, Any]:
    """AUROC by class, probe and state."""
    table = known(data)
    network = BACKBONES["googlenet-gz2"].view
    found: dict[str, Any] = {"view": network.asdict(), "count": count}
    for name in ("smooth-round", "smooth-inbetween", "edge-on", "spiral"):
        here = table[table["codes"] == CLASSES.index(name)]
        full = here[here["full_size"] & here["unbiased_sample"]].sample(frac=1, random_state=0)[
            :count
        ]
        small = here[~here["full_size"]].sample(frac=1, random_state=0)[: len(full)]
        files = [*full["file"], *small["file"]]
        truth = np.arange(len(files)) < len(full)
        stored = [frame(Path(file).read_bytes()) for file in files]
        np.save(out / "probe.npy", np.stack(stored))
        states = {
            "before": (as_they_are(files, len(full)), map(as_viewed, files, truth)),
            "after": (gz.ImageSet.of(out / "probe.npy", field=FIELD), stored),
        }
        rows: dict[str, dict[str, float]] = {}
        for state, (images, pixels) in states.items():
            seen = vectors(images)
            rows[state] = {
                "googlenet-gz2": auroc(seen, truth),
                "texture": auroc(np.stack([texture(each) for each in pixels]), truth),
            }
            if state == "after":
                half = np.random.default_rng(0).permutation(len(full)) < len(full) // 2
                rows[state]["chance"] = auroc(seen[: len(full)], half)
        found[name] = {"full": len(full), **rows}
        print(name, json.dumps(found[name]), flush=True)
    for state in ("before", "after"):
        for kind in ("googlenet-gz2", "texture"):
            found[f"mean {state} {kind}"] = float(
                np.mean([found[c][state][kind] for c in CLASSES if c in found])
            )
    return found


def kernels(data: Path, count: int) -> dict[str, float]:
    """RMS distance of the mean log spectra above 30 cycles per frame, by kernel."""
    table = known(data)
    here = table[table["codes"] == CLASSES.index("smooth-inbetween")]
    full = here[here["full_size"] & here["unbiased_sample"]]["file"][:count]
    small = here[~here["full_size"]]["file"][:count]
    wanted = np.mean([texture(frame(Path(file).read_bytes())) for file in small], 0)[30:-2]
    found = {}
    for name in KERNELS:
        made = [texture(frame(Path(file).read_bytes(), Image.Resampling[name])) for file in full]
        found[name] = float(np.sqrt(np.mean((np.mean(made, 0)[30:-2] - wanted) ** 2)))
    return found


def main() -> None:
    """Print, and write `probe.json`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=200, help="full-size galaxies of each class")
    parser.add_argument("--kernels", action="store_true")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    found = (
        kernels(given.data, given.count)
        if given.kernels
        else probe(given.data, given.out, given.count)
    )
    (given.out / ("kernels.json" if given.kernels else "probe.json")).write_text(
        json.dumps(found, indent=1) + "\n"
    )
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
