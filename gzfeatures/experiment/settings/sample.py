"""Define the settings of an experiment that name its galaxies, images, votes and split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from gzfeatures.experiment.settings.section import Section
from gzfeatures.galaxies.splits.separation import NEAR_ARCSEC
from gzfeatures.images.reading import Reading

if TYPE_CHECKING:
    from gzfeatures.galaxies.votes.vote_columns import Choice


class HowRead(Section):
    """Hold the options of reading image files, for what the files do not say."""

    range: tuple[float, float] | None = None
    stretch: str | None = None
    bands: tuple[str, ...] | None = None
    science: str | None = None
    prefer: Literal["picture", "bands"] | None = None
    ids_from: str | None = None

    @model_validator(mode="after")
    def _as_one_value(self) -> HowRead:
        Reading(**dict(self))
        return self


class _Votes(Section):
    """Say which votes of a catalog are read: `label --campaign`, `--measure`, `--min-votes`."""

    campaign: str | None = None
    measure: Literal["weighted", "fraction", "count", "weight", "debiased"] | None = None
    min_votes: int = Field(0, ge=0)

    @property
    def choice(self) -> Choice:
        """Return campaign, measure and least number of votes as one value."""
        from gzfeatures.galaxies.votes.vote_columns import Choice

        return Choice(self.campaign, self.measure, self.min_votes)


class ImagedCatalog(Section):
    """Name a catalog and its images; `id_column` is needed if no column has a known name.

    `field` is the share of the survey frame that the image files hold: 1 for full frames, less for
    files that were cropped before; a view's crop is a share of the full frame, so that both show a
    galaxy at one scale.
    """

    catalog: Path
    images: Path
    field: float = Field(1.0, gt=0, le=1)
    id_column: str | None = None
    reading: HowRead = HowRead()

    @property
    def how(self) -> Reading:
        """Return the options of reading the images as one value."""
        return Reading(**dict(self.reading), field=self.field)


class ByDigest(Section):
    """Split galaxies by a digest of their ids.

    Holds the divisor, and the remainders that go to validation and test.
    """

    test: tuple[int, ...]
    validation: tuple[int, ...] = ()
    of: int = Field(10, ge=2)


class SecondTarget(_Votes):
    """Name a catalog and a second class scheme, which networks learn besides the first target."""

    catalog: Path
    scheme: str = "votes-37"
    id_column: str | None = None


class Galaxies(ImagedCatalog, _Votes):
    """Name the galaxies that are split and scored, and galaxies that are only trained on.

    `labels` replaces the scheme by a labels CSV; its `split` column, where there is one, is kept.
    `split` is shares of train, validation and test, or a rule on the ids' digests, which then also
    keeps out galaxies that only train. `others` overrides what the scheme does with galaxies that
    no rule claims: the class `none-of-these`, or left out. `missing_label` and `label_as_is` say
    what words such as NA mean there, as the options of `fit` do. Galaxies within
    `neighbours_arcsec` of one another are kept on one side, where positions are known; 0 parts
    them. `target` names the numeric column, of the labels or else of the catalog, that is predicted
    in place of classes; `redshift` and `as_number` are as the options of `fit`.
    """

    scheme: str = "zhu-5class"
    target: str | None = None
    redshift: bool | None = None
    as_number: bool = False
    others: Literal["class", "left-out"] | None = None
    labels: Path | None = None
    missing_label: tuple[str, ...] = ()
    label_as_is: bool = False
    split: tuple[float, float, float] | ByDigest = (0.7, 0.1, 0.2)
    neighbours_arcsec: float = Field(NEAR_ARCSEC, ge=0)
    on_bad: Literal["raise", "skip"] = "raise"
    training_only: tuple[ImagedCatalog, ...] = ()
    also: SecondTarget | None = None

    @model_validator(mode="after")
    def _number_in_place_of_classes(self) -> Galaxies:
        if self.target is None and (self.redshift is not None or self.as_number):
            raise ValueError("redshift, as_number: belong to a target; name its column")
        if self.target is not None and (self.training_only or self.others is not None):
            raise ValueError(
                "training_only, others: are labelled by a scheme, whose place a target takes; "
                "leave one of them out"
            )
        return self

    @model_validator(mode="after")
    def _others_of_a_scheme(self) -> Galaxies:
        if self.others is not None and self.labels is not None:
            raise ValueError(
                "others: belongs to a scheme, and labels take the scheme's place; leave "
                "one of them out"
            )
        return self
