"""Bring every training galaxy to the same 128 pixels, and write down what is known of it.

    python experiments/common_pixels.py --data ../shared/data --out DIR

Of the galaxies of ../shared/data, 5,913 are pictures of 424 px and 21,717 are the middle 240 of 424
px at 128 px; all cigars are among the first. A network that can tell the two kinds of file apart
has thus a clue that the sky does not give. So the large ones go the way the small ones came, to the
byte of a JPEG: the middle 240 px, Lanczos to 128 px, JPEG of quality 88 without chroma subsampling.
(Of Pillow's five kernels this one leaves the spectra of the two kinds closest: `resolution_probe.py
--kernels`.)

Writes `pixels.npy`, uint8, shape (n, 128, 128, 3), to be memory-mapped, and `labels.npz`, in the
same order. Galaxies of the own tenth, `int(sha256(GalaxyID), 16) % 10 == 3`, are left out before
any file of theirs is opened.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

import gzfeatures as gz
from gzfeatures.errors import InputError, LeakError
from gzfeatures.files import written_whole
from gzfeatures.galaxies.labels.schemes import scheme
from gzfeatures.galaxies.splits.split import digest_remainders
from gzfeatures.galaxies.votes.votes import ANSWERS, COLUMNS, PARENTS, QUESTIONS
from gzfeatures.ids import Ids, among, positions
from gzfeatures.networks.setup.pixel_cache import PixelCache

FRAME, MIDDLE, SIDE = 424, 240, 128
QUALITY = 88
TENTH = 3
"""Remainder of ten that is never trained on: that of the card of googlenet-gz2."""
VALIDATION = (9, 29, 59, 79)
"""Remainders of a hundred that choices are made on, as in pretrain_googlenet_gz2.toml."""
CLASSES = ("smooth-round", "smooth-inbetween", "smooth-cigar", "edge-on", "spiral", "none-of-these")
VOTERS, PANELS = 40, 64
Floats: TypeAlias = npt.NDArray[np.float64]


def frame(
    data: bytes, kernel: Image.Resampling = Image.Resampling.LANCZOS
) -> npt.NDArray[np.uint8]:
    """Middle 240 of 424 px of a galaxy at 128 px, from a picture of either size; shape (128, 128,
    3).

    Raises
    ------
    InputError
        The picture is neither 424 px nor 128 px wide and high: what it shows of the sky is not
        known.
    """
    image = Image.open(io.BytesIO(data)).convert("RGB")
    if image.size == (FRAME, FRAME):
        edge = (FRAME - MIDDLE) // 2
        small = image.crop((edge, edge, edge + MIDDLE, edge + MIDDLE)).resize((SIDE, SIDE), kernel)
        stored = io.BytesIO()
        small.save(stored, "JPEG", quality=QUALITY, subsampling=0)
        image = Image.open(stored)
    elif image.size != (SIDE, SIDE):
        raise InputError("picture", rule=f"be {FRAME} or {SIDE} px wide and high", found=image.size)
    return np.asarray(image)


def in_tenth(ids: Ids) -> npt.NDArray[np.bool_]:
    """Which galaxies must never train or choose anything, shape (n,)."""
    return np.asarray(digest_remainders(ids, 10) == TENTH)


def redrawn(fractions: Floats, panels: int, voters: int, seed: int) -> Floats:
    """Cumulative fractions of other panels of volunteers, who answer with the given fractions.

    Parameters
    ----------
    fractions : ndarray
        Shape (n, 37), cumulative.
    panels, voters : int
        How many panels look at each galaxy, of how many volunteers; all weigh the same.
    seed : int

    Returns
    -------
    ndarray
        Shape (n · panels, 37), the panels of a galaxy one after the other. `odd-feature` stays what
        it was: there a volunteer may give no answer, and no class asks for it.
    """
    generator = np.random.default_rng(seed)
    given = np.repeat(fractions, panels, axis=0)
    counts = given * voters
    for question, answers in QUESTIONS.items():
        if question == "odd-feature":
            continue
        parent, columns = PARENTS[question], COLUMNS[question]
        asked = (
            np.full(len(given), voters)
            if parent is None
            else counts[:, ANSWERS.index(parent)].astype(np.int64)
        )
        chances = np.clip(given[:, columns], 0, None)
        total = chances.sum(1, keepdims=True)
        chances = np.where(total > 0, chances / np.where(total > 0, total, 1), 1 / len(answers))
        counts[:, columns] = generator.multinomial(asked, chances)
    return counts / voters


def class_shares(table: pd.DataFrame, *, seed: int = 0) -> Floats:
    """How often other panels would put each galaxy into each of `CLASSES`; shape (n, 6), rows sum
    to 1.

    Near a threshold of the class a galaxy thus belongs to it half, and half to none.
    """
    names = [name for name in table.columns if name.startswith("Class")]
    drawn = pd.DataFrame(redrawn(table[names].to_numpy(float), PANELS, VOTERS, seed), columns=names)
    drawn.insert(
        0, "GalaxyID", [f"{row}-{panel}" for row in range(len(table)) for panel in range(PANELS)]
    )
    labels = scheme("zhu-5class").label(gz.Catalog.of(drawn)).ordered(CLASSES[:-1])
    codes = np.full(len(drawn), len(CLASSES) - 1)
    codes[positions(drawn["GalaxyID"].to_numpy(object), labels.ids, where="panels")] = labels.codes
    shares: Floats = np.eye(len(CLASSES))[codes].reshape(len(table), PANELS, -1).mean(1)
    return shares


@dataclasses.dataclass(frozen=True, eq=False)
class Galaxies:
    """Training galaxies, row by row.

    Parameters
    ----------
    cache : PixelCache
        Ids and pixels, n of them.
    votes : ndarray of float32
        Shape (n, 37): cumulative fractions, a row of NaN where the votes are not known.
    codes : ndarray of int64
        Shape (n,): place in `CLASSES`.
    shares : ndarray of float32
        Shape (n, 6): soft classes. Without votes, the mean of the galaxies of that class that have
        them.
    full_size, unbiased, validation : ndarray of bool
        Shape (n,): came as 424 px; of the unbiased random draw; choices are made on it and it never
        trains.
    """

    cache: PixelCache
    votes: npt.NDArray[np.float32]
    codes: npt.NDArray[np.int64]
    shares: npt.NDArray[np.float32]
    full_size: npt.NDArray[np.bool_]
    unbiased: npt.NDArray[np.bool_]
    validation: npt.NDArray[np.bool_]

    @classmethod
    def read(cls, folder: Path) -> Galaxies:
        """Open what this script wrote.

        Raises
        ------
        LeakError
            A galaxy of the own tenth is there.
        """
        with np.load(folder / "labels.npz", allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        ids: Ids = arrays.pop("ids").astype(object)
        if (leaks := in_tenth(ids)).any():
            raise LeakError(
                "galaxy of the own tenth among those that train", where=folder, found=ids[leaks][0]
            )
        return cls(PixelCache(ids, folder / "pixels.npy"), **arrays)


def known(data: Path) -> pd.DataFrame:
    """What the tables say of each picture outside the own tenth: its file, `codes`, `full_size`,
    `unbiased`.

    Raises
    ------
    InputError
        A galaxy has neither a class nor votes: whether it is one of the five is then not known.
    """
    full = pd.read_csv(data / "gz2" / "classes.csv", dtype={"GalaxyID": str})
    bulk = pd.read_csv(data / "gz2" / "bulk.csv", dtype={"GalaxyID": str})
    full["file"], full["full_size"] = (
        [str(data / "gz2" / "images" / f"{name}.jpg") for name in full["GalaxyID"]],
        True,
    )
    bulk["file"], bulk["full_size"] = (
        [str(data / "gz2" / "bulk" / f"{name}.jpg") for name in bulk["GalaxyID"]],
        False,
    )
    table = pd.concat([full, bulk.assign(unbiased_sample=False)], ignore_index=True)
    table = table[~in_tenth(table["GalaxyID"].to_numpy(object))].reset_index(drop=True)
    place = {name: code for code, name in enumerate(CLASSES)}
    table["codes"] = table["class5"].fillna("none-of-these").map(place).astype(np.int64)
    return table


def labelled(table: pd.DataFrame, votes: pd.DataFrame) -> dict[str, npt.NDArray[Any]]:
    """Arrays of `Galaxies`, from the tables of classes and of votes."""
    ids = table["GalaxyID"].to_numpy(object)
    here = votes[among(votes["GalaxyID"].to_numpy(object), ids)]
    rows = positions(ids, here["GalaxyID"].to_numpy(object), where="pictures")
    values = np.full((len(ids), len(ANSWERS)), np.nan, np.float32)
    values[rows] = here.drop(columns="GalaxyID").to_numpy(np.float32)
    codes = table["codes"].to_numpy(np.int64)
    unvoted = np.isnan(values[:, 0])
    if (lost := unvoted & (codes == len(CLASSES) - 1)).any():
        raise InputError("galaxy", rule="have a class or votes", found=ids[lost][0])
    shares = np.eye(len(CLASSES), dtype=np.float32)[codes]
    shares[rows] = class_shares(here)
    for code in np.unique(codes[unvoted]):
        voted = (codes == code) & ~unvoted
        if voted.any():
            shares[unvoted & (codes == code)] = shares[voted].mean(0)
    return {
        "ids": ids.astype(str),
        "votes": values,
        "codes": codes,
        "shares": shares,
        "full_size": table["full_size"].to_numpy(bool),
        "unbiased": table["unbiased_sample"].to_numpy(bool),
        "validation": np.isin(digest_remainders(ids, 100), VALIDATION),
    }


def write(data: Path, out: Path) -> Galaxies:
    """Decode all pictures and read all labels into `out`; what is there already is kept."""
    if not (out / "labels.npz").exists():
        table = known(data)
        votes = pd.read_csv(
            data / "catalogs" / "kaggle_training_solutions_part.csv", dtype={"GalaxyID": str}
        )
        arrays = labelled(table, votes)
        with written_whole(out / "pixels.npy") as temporary, temporary.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (len(table), SIDE, SIDE, 3)}
            np.lib.format.write_array_header_2_0(file, header)
            for path in table["file"]:
                file.write(frame(Path(path).read_bytes()).tobytes())
        # the labels come last: they say that the pixels are complete
        with written_whole(out / "labels.npz") as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
    return Galaxies.read(out)


def main() -> None:
    """Write, and say what is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with gz2 and catalogs")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    given = parser.parse_args()
    galaxies = write(given.data, given.out)
    voted = ~np.isnan(galaxies.votes[:, 0])
    print(
        f"{len(voted)} galaxies, {voted.sum()} with votes, {galaxies.validation.sum()} for choices"
    )
    for code, name in enumerate(CLASSES):
        here = galaxies.codes == code
        share = galaxies.shares[here & voted][:, code].mean()
        print(
            f"{name:18} {here.sum():6} ({(here & galaxies.full_size).sum()} full-size), "
            f"soft share {share:.3f}"
        )


if __name__ == "__main__":
    main()
