"""How surely googlenet-gz2 knows its training pictures again, and how seldom it mistakes another
for one.

    python experiments/benchmarks/picture_hashes.py --data ../../shared/data --pictures 1500

Training pictures are changed as on their way into a collection: JPEG of quality 60 to 95, 424 → 128
pixels, both, and the middle 240 pixels cut out and resampled. Unseen are the tenth of Kaggle's
galaxies that was kept out, whole and as middles, and the Hart+2016 pictures of galaxies that are
none of the training's. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import io
from collections import defaultdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

import gzfeatures as gz
from gzfeatures.features.backbones import backbone
from gzfeatures.features.trained_on import DISTANCE, TrainedOn
from gzfeatures.images.decoding.decode_rgb import decode_rgb
from gzfeatures.images.picture_hash import picture_hash

FIELD = 240 / 424
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "Lanczos": Image.Resampling.LANCZOS}


def jpeg(image: Image.Image, quality: int) -> npt.NDArray[np.uint8]:
    """Pixels after compression, decoded as an extraction decodes them."""
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality)
    return decode_rgb(data.getvalue(), where="memory")


def changed(path: Path) -> dict[str, npt.NDArray[np.uint8]]:
    """One training picture under every change."""
    image = Image.open(path).convert("RGB")
    made = {f"JPEG {quality}": jpeg(image, quality) for quality in (60, 75, 85, 95)}
    for name, how in FILTERS.items():
        small = image.resize((128, 128), how)
        made[f"424 → 128, {name}"] = np.asarray(small)
        made |= {
            f"424 → 128, {name}, JPEG {quality}": jpeg(small, quality) for quality in (60, 75, 95)
        }
        made[f"middle 240 → 128, {name}, JPEG 75"] = jpeg(
            image.crop((92, 92, 332, 332)).resize((128, 128), how), 75
        )
    return made


def marked(record: TrainedOn, hashes: list[bytes]) -> npt.NDArray[np.bool_]:
    """Which pictures are taken for training pictures, by their hash alone."""
    pictures = np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(len(hashes), -1)
    return record.contains([""] * len(hashes), pictures=pictures, kind="no catalog")


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path(__file__).parent / "../../../shared/data")
    parser.add_argument(
        "--pictures", type=int, default=1500, help="training pictures that are changed"
    )
    given = parser.parse_args()
    record = TrainedOn.decode(backbone("googlenet-gz2").trained_on or "")
    full = gz.ImageSet.of(given.data / "gz2" / "images").of_kind("kaggle")
    bulk = gz.ImageSet.of(given.data / "gz2" / "bulk", field=FIELD).of_kind("kaggle")
    by_id = [record.contains(images.ids, kind="kaggle") for images in (full, bulk)]
    chosen = np.random.default_rng(0).permutation(full.ids[by_id[0]])[: given.pictures]
    hashes = defaultdict(list)
    for name in chosen:
        for change, pixels in changed(given.data / "gz2" / "images" / f"{name}.jpg").items():
            hashes[change].append(picture_hash(pixels))
    print(f"| pictures of galaxies trained on, {DISTANCE} of 256 bits | n | found |\n|---|---|---|")
    for change, known in hashes.items():
        print(f"| {change} | {len(known)} | {marked(record, known).mean():.4f} |")
    hart = gz.ImageSet.of(given.data / "hart16" / "images")
    table = pd.read_csv(given.data / "hart16" / "hart16_1000.csv", dtype=str).set_index("asset_id")
    twin = table.loc[list(hart.ids), "kaggle_GalaxyID_same_file"].map(
        lambda v: str(int(float(v))) if v == v else ""
    )
    trained = record.contains(twin.to_numpy(object), kind="kaggle")
    sets = {
        "Kaggle's tenth, whole frames": full.select(full.ids[~by_id[0]]),
        "Kaggle's tenth, middles": bulk.select(bulk.ids[~by_id[1]]),
        "Hart+2016, other galaxies": hart.select(hart.ids[~trained]),
    }
    print("\n| pictures of galaxies not trained on | n | marked |\n|---|---|---|")
    total = wrong = 0
    for name, images in sets.items():
        met = marked(record, [images.picture_hash(row) for row in range(len(images))])
        total, wrong = total + len(met), wrong + int(met.sum())
        print(f"| {name} | {len(met)} | {int(met.sum())} |")
    print(f"| together | {total} | {wrong / total:.5f} |")
    met = record.among_images(hart)
    right, false = int((met & trained).sum()), int((met & ~trained).sum())
    print(f"\nHart+2016: {right} of {int(trained.sum())} training galaxies marked, {false} others")


if __name__ == "__main__":
    main()
