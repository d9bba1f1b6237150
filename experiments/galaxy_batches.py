"""Batches of training galaxies: which, how they are copied, what is known of them, and how answers
are scored.

Every network here answers with 43 logits: 37 for the vote fractions, by the decision tree, and 6
for the classes, five and none of these. Copies are made of the stored 128 px (`common_pixels.py`),
so that a galaxy's kind of file decides nothing: turned by any angle, mirrored, and cropped to
between 128 and 240 of the frame's 424 px; three in ten are encoded as JPEG anew, three in ten lose
resolution.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import simplejpeg
import torch
from common_pixels import CLASSES, MIDDLE, SIDE, Galaxies
from torch.nn import functional

from gzfeatures.galaxies.votes.votes import ANSWERS, COLUMNS
from gzfeatures.networks.setup.augment import DRAWS, Augmentation
from gzfeatures.networks.setup.batches import TrainingPixels
from gzfeatures.networks.setup.targets import tree_fractions

VIEW = 170
"""Side in px, of 424, of what is looked at when nothing is drawn: the widest square that turns
within 240 px."""
CROPS = (128, 240)
COPIES = Augmentation(zoom=(VIEW / CROPS[1], VIEW / CROPS[0]), margin=MIDDLE / VIEW)
SPOILT, QUALITIES, SIDES = 0.3, (50, 95), (56, 112)
FRACTIONS, FIVE = len(ANSWERS), len(CLASSES) - 1
OUTPUTS = FRACTIONS + len(CLASSES)
CHANCES = DRAWS + 5
"""Uniform numbers a copy takes."""


def spoilt(frames: torch.Tensor, chance: torch.Tensor) -> torch.Tensor:
    """Frames of which some were encoded as JPEG anew, and some lost resolution.

    Parameters
    ----------
    frames : Tensor
        uint8, shape (n, 3, side, side).
    chance : Tensor
        Shape (n, 5), in [0, 1): encode it, quality, chroma, blur it, side (one for the batch).

    Returns
    -------
    Tensor
        Float in [0, 1], same shape.
    """
    low, high = QUALITIES
    whole = frames.permute(0, 2, 3, 1).contiguous().numpy()
    for row in torch.nonzero(chance[:, 0] < SPOILT).flatten().tolist():
        quality, chroma = (
            int(low + (high + 1 - low) * chance[row, 1]),
            "420" if chance[row, 2] < 0.5 else "444",
        )
        whole[row] = simplejpeg.decode_jpeg(
            simplejpeg.encode_jpeg(whole[row], quality, colorsubsampling=chroma)
        )
    made = torch.from_numpy(whole).permute(0, 3, 1, 2).float().div_(255)
    if len(rows := torch.nonzero(chance[:, 3] < SPOILT).flatten()):
        small, large = SIDES
        side = int(small + (large + 1 - small) * chance[0, 4]) * frames.shape[-1] // SIDE
        less = functional.interpolate(made[rows], (side, side), mode="bilinear", antialias=True)
        made[rows] = functional.interpolate(less, frames.shape[-2:], mode="bicubic").clamp_(0, 1)
    return made


def fractions_error(logits: torch.Tensor, votes: torch.Tensor) -> torch.Tensor:
    """Squared errors of the fractions that are known, summed over answers, mean over galaxies that
    have any."""
    known = ~torch.isnan(votes)
    errors = torch.where(known, tree_fractions(logits) - torch.where(known, votes, 0.0), 0.0) ** 2
    return errors.sum() / known.any(1).sum().clamp(min=1)


@dataclasses.dataclass(frozen=True, eq=False)
class Targets:
    """What is known of the galaxies of a batch: fractions (NaN where not), soft classes, place in
    `CLASSES`."""

    votes: torch.Tensor
    shares: torch.Tensor
    codes: torch.Tensor

    def losses(self, logits: torch.Tensor, smoothing: float) -> dict[str, torch.Tensor]:
        """Losses by name: fractions, soft classes, and the five classes among themselves."""
        asked, classed = logits[:, FRACTIONS:], self.codes < FIVE
        hard = logits.new_zeros(())
        if classed.any():
            hard = functional.cross_entropy(
                asked[classed, :FIVE], self.codes[classed], label_smoothing=smoothing
            )
        return {
            "votes": fractions_error(logits[:, :FRACTIONS], self.votes),
            "soft": functional.cross_entropy(asked, self.shares),
            "hard": 0.5 * hard,
        }


class Course:
    """Batches: which galaxies a step sees, how, and what is known of them.

    Parameters
    ----------
    galaxies : Galaxies
        Those for choices are left out.
    seed, batch : int
    power : float
        A class is drawn with its frequency to the power of 1 - `power`.
    without : tuple of str
        Questions whose fractions are hidden.
    """

    def __init__(
        self, galaxies: Galaxies, seed: int, batch: int, power: float, without: tuple[str, ...]
    ) -> None:
        self.galaxies, self.seed, self.batch = galaxies, seed, batch
        self.rows = np.flatnonzero(~galaxies.validation)
        counts = np.bincount(galaxies.codes[self.rows], minlength=len(CLASSES))
        weights = np.maximum(counts, 1)[galaxies.codes[self.rows]] ** -power
        votes = galaxies.votes.copy()
        for question in without:
            votes[:, COLUMNS[question]] = np.nan
        self.votes = votes
        self.frames = TrainingPixels(
            galaxies.cache, votes[self.rows], weights / weights.mean(), batch, seed
        )
        self.epoch, self.order = -1, self.rows

    def __len__(self) -> int:
        return len(self.rows) // self.batch

    def at(self, step: int) -> npt.NDArray[np.intp]:
        """Rows of the galaxies of a step."""
        epoch, place = divmod(step, len(self))
        if epoch != self.epoch:
            self.epoch, self.order = epoch, self.rows[self.frames.order(epoch)]
        return self.order[place * self.batch : (place + 1) * self.batch]

    def targets(self, rows: npt.NDArray[np.intp]) -> Targets:
        """What is known of some galaxies."""
        known = (self.votes[rows], self.galaxies.shares[rows], self.galaxies.codes[rows])
        return Targets(*(torch.from_numpy(array) for array in known))

    def copies(self, rows: npt.NDArray[np.intp], chance: torch.Tensor, size: int) -> torch.Tensor:
        """Random copies, in [0, 1], shape (n, 3, size, size); `chance` has CHANCES columns."""
        frames = spoilt(self.galaxies.cache.batch(rows), chance[:, DRAWS:])
        return COPIES.apply(frames, chance[:, :DRAWS], size)


def centred(frames: torch.Tensor, size: int, crop: int = VIEW) -> torch.Tensor:
    """The middle `crop` of 424 px of stored frames, uint8, at `size` px; in [0, 1]."""
    plain = dataclasses.replace(Augmentation.none(), zoom=(VIEW / crop,) * 2, margin=MIDDLE / VIEW)
    return plain.apply(frames.float().div_(255), torch.zeros(len(frames), DRAWS), size)


def scores(
    logits: torch.Tensor, galaxies: Galaxies, rows: npt.NDArray[np.intp]
) -> dict[str, float]:
    """Accuracy on five classes (all, full-size, small), cigars found, log loss of the six, RMSE of
    the fractions."""
    truth, votes = torch.from_numpy(galaxies.codes[rows]), torch.from_numpy(galaxies.votes[rows])
    classed, right = truth < FIVE, logits[:, FRACTIONS : FRACTIONS + FIVE].argmax(1) == truth
    full, unbiased = (
        torch.from_numpy(each[rows]) for each in (galaxies.full_size, galaxies.unbiased)
    )
    errors = (tree_fractions(logits[:, :FRACTIONS]) - votes) ** 2
    shares = torch.from_numpy(galaxies.shares[rows])
    parts = {
        "accuracy": classed,
        "accuracy_full": classed & full,
        "accuracy_small": classed & ~full,
    }
    parts |= {"cigars": truth == CLASSES.index("smooth-cigar")}
    return {
        **{name: float(right[part].float().mean()) for name, part in parts.items() if part.any()},
        "log_loss": float(functional.cross_entropy(logits[:, FRACTIONS:], shares)),
        "rmse": float(errors.nanmean().sqrt()),
        "rmse_unbiased": float(errors[unbiased].nanmean().sqrt()),
    }
