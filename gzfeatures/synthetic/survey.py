"""Simulate a survey of galaxies: images, volunteers' votes, and the true shapes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures import outputs
from gzfeatures.errors import InputError, parsing
from gzfeatures.files import written_whole
from gzfeatures.galaxies.votes.votes import Counts
from gzfeatures.ids import Ids, as_ids
from gzfeatures.progress import Progress, each, handed
from gzfeatures.synthetic.observation import photograph
from gzfeatures.synthetic.population import Member, member, nearby
from gzfeatures.synthetic.vote_probabilities import chances, visibility
from gzfeatures.synthetic.votes import Panel, hart_table, kaggle_table

FIRST_ID = 10_000_001
"""Smallest simulated GalaxyID; it has more digits than Kaggle's ids, so no real galaxy has it."""
FIRST_OBJID = 587722952230174721
"""Smallest simulated id of SDSS DR7; like real ones, it has 18 digits, too many for a float."""
REFERENCE_REDSHIFT = 0.03
"""Redshift at which a galaxy is shown to the volunteers for its "debiased" votes."""
REPEAT_EVERY = 40
"""One row in so many shows the galaxy of the row before once more."""


@dataclasses.dataclass(frozen=True)
class MockSurvey:
    """Store the paths of a simulated survey's files and folders.

    Parameters
    ----------
    images : Path
        Folder with images `<GalaxyID>.jpg`.
    catalog : Path
        CSV like the Kaggle solutions: `GalaxyID` and 37 cumulative vote fractions.
    hart : Path
        CSV like Hart+2016 (`asset_id` is the GalaxyID): class string, counts, fractions, debiased
        fractions, position, REDSHIFT (empty without a spectrum), PETROMAG_MR (absolute r
        magnitude), PETROR50_R, PETROR90_R (arcsec).
    truth : Path
        CSV with the true type and shape of each galaxy, and which rows show the same galaxy.
    """

    images: Path
    catalog: Path
    hart: Path
    truth: Path


@dataclasses.dataclass(frozen=True)
class SurveyRow:
    """Store one row of a simulated survey: a new galaxy, or a repeat of the row before.

    Parameters
    ----------
    index : int
        Number of the row.
    source : int
        Number of the row in which this galaxy is new; equal to `index` if the galaxy is not
        repeated.
    observation : int
        Number of the row for which this image was exposed; equal to `index` if the image is not a
        copy.
    """

    index: int
    source: int
    observation: int

    @classmethod
    def at(cls, index: int) -> SurveyRow:
        """Return row number `index` of the survey: a new galaxy, or the galaxy of the row before.

        By turns, a repeated galaxy has an image of another night, or a copy of the same image.
        """
        repeat, turn = index % REPEAT_EVERY == REPEAT_EVERY - 1, index // REPEAT_EVERY % 2
        return cls(index, index - repeat, index - (repeat and turn))

    @property
    def repeats(self) -> str:
        """Return "same-file" or "seen-again" if this galaxy is also in the row before, else "".

        "same-file" means a copy of the same image, "seen-again" an image of another night.
        """
        return (
            "same-file"
            if self.observation != self.index
            else "seen-again"
            if self.source != self.index
            else ""
        )


def draw_survey(
    folder: str | Path,
    n: int = 1000,
    seed: int = 0,
    size: int = 212,
    progress: Progress | bool = False,
) -> MockSurvey:
    """Simulate a survey of SDSS-like images, with votes of simulated volunteers.

    Row i depends only on (`seed`, i): the first k rows of a larger survey are the same, byte for
    byte. Images are simulated with pixels of 0.396 arcsec, 1.3 arcsec seeing, and noise of sky and
    photons; they are 8.48 Petrosian 90 % radii wide, as in Galaxy Zoo 2 (Willett+2013,
    doi:10.1093/mnras/stt1458). About 40 volunteers per galaxy follow the decision tree; they make
    more errors for smaller and fainter galaxies. "Debiased" votes are those of the same volunteers
    for the same galaxy, shown at redshift 0.03.

    One row in 40 shows the galaxy of the row before once more, on another night or as a copy of the
    same file; truth.csv says so.

    Parameters
    ----------
    folder : str or Path
        Folder to write images/, catalog.csv, hart.csv and truth.csv into; it is made if missing.
    n : int
        Number of rows.
    seed : int
        Seed of all random numbers, not negative.
    size : int
        Side of the images in pixels, 16 to 2048; Galaxy Zoo's own images have 424.
    progress : Progress or bool
        Shows a progress bar; by default nothing is shown. True: in the terminal.

    Raises
    ------
    InputError
        A number is out of range, images/ has files of another survey, or catalog.csv, hart.csv or
        truth.csv is no file of a simulated survey. Under a guard (see `outputs`), the guard decides
        which files are replaced.
    OutputError
        The folder cannot be written.
    """
    for name, value, low, high in (
        ("n", n, 1, 10**6),
        ("seed", seed, 0, 2**63),
        ("size", size, 16, 2048),
    ):
        if not low <= value <= high:
            raise InputError(f"synthetic survey: {name}", rule=f"lie in {low}…{high}", found=value)
    root = Path(folder)
    survey = MockSurvey(
        root / "images", root / "catalog.csv", root / "hart.csv", root / "truth.csv"
    )
    entries = [SurveyRow.at(index) for index in range(n)]
    ids = as_ids(np.arange(n) + FIRST_ID)
    _refuse_others(survey.images, ids)
    if outputs.current() is None:
        _refuse_strange(survey)
    members, votes = [], []
    for entry in each(entries, handed(progress), "drawing galaxies", n):
        galaxy = member(entry.source, seed, _stream(seed, entry.source, "shape"))
        image = photograph(
            galaxy.shape,
            size,
            _stream(seed, entry.source, "sky"),
            _stream(seed, entry.observation, "night"),
        )
        with written_whole(survey.images / f"{ids[entry.index]}.jpg") as path:
            path.write_bytes(image)
        members.append(galaxy)
        votes.append(_votes(galaxy, _stream(seed, entry.index, "votes")))
    counts, weights, debiased = (
        Counts(ids, table, m) for table, m in zip(np.stack(votes, 1), _MEASURES, strict=True)
    )
    _write(survey.catalog, kaggle_table(weights))
    _write(
        survey.hart,
        pd.concat([hart_table(counts, weights, debiased), _metadata(entries, members)], axis=1),
    )
    _write(survey.truth, _truth(ids, entries, members))
    return survey


_MEASURES: tuple[Literal["count", "weight"], ...] = ("count", "weight", "weight")
_STREAMS = ("shape", "sky", "night", "votes")


def _stream(seed: int, index: int, purpose: str) -> np.random.Generator:
    """Return a random generator for one purpose (such as votes) in one row of the survey."""
    return np.random.default_rng(
        np.random.SeedSequence(seed, spawn_key=(index, _STREAMS.index(purpose)))
    )


def _refuse_others(images: Path, ids: Ids) -> None:
    """Refuse an image folder that contains files which this simulated survey does not write."""
    others = (
        sorted({p.name for p in images.glob("*")} - {f"{name}.jpg" for name in ids})
        if images.is_dir()
        else []
    )
    if others:
        raise InputError(
            f"{len(others)} files of another survey",
            where=images,
            found=others[0],
            remedy="choose an empty folder or delete them",
        )


def _refuse_strange(survey: MockSurvey) -> None:
    """Refuse a folder with a table of the same name that no simulated survey has written."""
    for path, beginning in (
        (survey.catalog, "GalaxyID,Class1.1,"),
        (survey.hart, "asset_id,gz2_class,"),
        (survey.truth, "GalaxyID,type,same_as,"),
    ):
        if not path.exists():
            continue
        lines = _first_lines(path) if path.is_file() else []
        wanted = [beginning.encode(), f"{FIRST_ID},".encode()]
        # every simulated survey begins with the same galaxy
        if len(lines) < 2 or not all(map(bytes.startswith, lines, wanted)):
            raise InputError(
                "file that no simulated survey has written",
                where=path,
                rule=f"begin with {beginning}… and galaxy {FIRST_ID}",
                remedy="choose an empty folder, or move the file",
            )


def _first_lines(path: Path) -> list[bytes]:
    """Return the first two lines of a file, at most 64 KiB of each: the file may be large."""
    with parsing("file cannot be read", path), path.open("rb") as file:
        return [file.readline(2**16) for _ in range(2)]


def _votes(galaxy: Member, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Simulate volunteers' votes for Galaxy Zoo's 37 answers about one galaxy, shape (3, 37).

    The rows are counted votes, weighted votes, and debiased votes. Debiased votes are weighted, and
    given to an image of the same galaxy at a smaller distance.
    """
    panel = Panel.draw(rng)
    mood = rng.normal(0, 0.08)
    near = nearby(galaxy, REFERENCE_REDSHIFT)
    # let the same volunteers classify the galaxy twice, as it is and nearer, so that only the
    # distance changes their votes
    observed, brought_near = (
        panel.votes(chances(shape, float(np.clip(visibility(shape) + mood, 0.02, 0.98))))
        for shape in (galaxy.shape, near)
    )
    # the last row holds the "debiased" votes: those that the same volunteers would give if the
    # galaxy were nearer
    return np.stack([observed.sum(0), panel.weights @ observed, panel.weights @ brought_near])


def _metadata(entries: Sequence[SurveyRow], members: Sequence[Member]) -> pd.DataFrame:
    """Return a table of simulated positions, redshifts, magnitudes and sizes; columns as in GZ2."""
    return pd.DataFrame(
        [
            {
                "dr7objid": FIRST_OBJID + entry.index,
                "ra": galaxy.ra + 0.4 / 3600 * (entry.observation != entry.source),
                "dec": galaxy.dec,
                "REDSHIFT": galaxy.redshift if galaxy.spectrum else np.nan,
                "PETROMAG_R": galaxy.shape.magnitude,
                "PETROMAG_MR": galaxy.absolute_magnitude,
                "PETROR50_R": galaxy.shape.r50,
                "PETROR90_R": galaxy.shape.r90,
            }
            for entry, galaxy in zip(entries, members, strict=True)
        ]
    )


def _truth(ids: Ids, entries: Sequence[SurveyRow], members: Sequence[Member]) -> pd.DataFrame:
    """Return the true types and shapes of simulated galaxies, as a table with one row per image."""
    return pd.DataFrame(
        [
            {
                "GalaxyID": ids[entry.index],
                "type": galaxy.type,
                "same_as": ids[entry.source] if entry.repeats else "",
                "repeats": entry.repeats,
                "visibility": visibility(galaxy.shape),
                "redshift": galaxy.redshift,
                **dataclasses.asdict(galaxy.shape),
            }
            for entry, galaxy in zip(entries, members, strict=True)
        ]
    )


def _write(path: Path, table: pd.DataFrame) -> None:
    """Write a table to a CSV file with nine digits; the complete file appears, or none at all.

    Nine digits give positions on the sky to 0.1 arcsec, and sums of fractions to 1e-8.
    """
    with written_whole(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.9g", lineterminator="\n")
