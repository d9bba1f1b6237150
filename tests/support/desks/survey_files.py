"""A folder with the files that README and the pages of the site name, drawn from a synthetic
survey."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from gzfeatures.synthetic.survey import draw_survey


def laid_out(folder: Path, n: int, size: int) -> Path:
    """Draw a survey under the names of the files of Kaggle, of Galaxy Zoo 2, and of one's own."""
    survey = draw_survey(folder / "survey", n=n, seed=1, size=size, progress=False)
    survey.catalog.rename(folder / "training_solutions_rev1.csv")
    for name in ("images_training_rev1", "images_gz2"):
        shutil.make_archive(str(folder / name), "zip", survey.images)
    hart = pd.read_csv(survey.hart)
    objects = hart["asset_id"].map(lambda number: 587_722_981_000_000_000 + number)
    hart.assign(dr7objid=objects).drop(columns="asset_id").to_csv(
        folder / "gz2_hart16.csv.gz", index=False
    )
    names = pd.DataFrame({"objid": objects, "sample": "original", "asset_id": hart["asset_id"]})
    names.to_csv(folder / "gz2_filename_mapping.csv", index=False)
    survey.images.rename(folder / "my-images")
    featured = hart["t01_smooth_or_features_a02_features_or_disk_debiased"] > 0.5
    mine = pd.DataFrame(
        {"galaxy_id": hart["asset_id"], "label": np.where(featured, "disk", "smooth")}
    )
    mine[: n * 11 // 15].to_csv(folder / "my-labels.csv", index=False)
    return folder
