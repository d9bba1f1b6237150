"""The demo: the whole main job on a synthetic survey, without a download."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from gzfeatures import __version__, outputs
from gzfeatures.config import Experiment, load
from gzfeatures.files import read_note, write_note, written_whole
from gzfeatures.images.gallery import contact_sheet
from gzfeatures.images.imageset import ImageSet
from gzfeatures.images.sky import draw_survey


def experiment(folder: Path, galaxies: int = 1000, seed: int = 0) -> Experiment:
    """Draw the survey into `folder`, unless it is there, and give the experiment to run on it (`demo.toml`).

    Parameters
    ----------
    folder : Path
        Where the survey's images and catalogs go, and `contact.jpg`, a look at the first sixty.
    galaxies : int
        How many to draw.
    seed : int
        Of the drawing.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    note, drawn = folder / "survey.json", {"galaxies": galaxies, "seed": seed, "version": __version__}
    if read_note(note) != drawn:
        outputs.allow(folder / name for name in ("catalog.csv", "hart.csv", "truth.csv", "contact.jpg", note.name))
        survey = draw_survey(folder, n=galaxies, seed=seed)
        images = ImageSet.of(survey.images)
        with written_whole(folder / "contact.jpg") as temporary:
            contact_sheet(images.select(images.ids[:60])).save(temporary, "JPEG")
        write_note(note, drawn)
    with as_file(files("gzfeatures") / "demo.toml") as path:
        return load(path, [f"galaxies.catalog={folder / 'catalog.csv'}", f"galaxies.images={folder / 'images'}"])
