"""Define the settings of an experiment file that choose galaxies, images, votes and split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from gzfeatures.experiment.settings.section import Section
from gzfeatures.galaxies.splits.sky_separation import NEAR_ARCSEC
from gzfeatures.images.reading import Reading

if TYPE_CHECKING:
    from gzfeatures.galaxies.votes.vote_columns import Choice


class HowRead(Section):
    """Set what image files do not state about themselves, such as stretch and names of bands."""

    range: tuple[float, float] | None = None
    """Values that become black and white, as `--range`."""
    stretch: str | None = None
    """How values become grey levels, as `--stretch`."""
    bands: tuple[str, ...] | None = None
    """Bands for red, green and blue, as `--bands`."""
    science: str | None = None
    """HDU or array with the pixels, as `--science`."""
    prefer: Literal["picture", "bands"] | None = None
    """What counts where a galaxy has a picture and bands."""
    ids_from: str | None = None
    """Where ids of images come from, as `--ids-from`."""

    @model_validator(mode="after")
    def _as_one_value(self) -> HowRead:
        Reading(**dict(self))
        return self


class _Votes(Section):
    """Set which votes of a catalog are read, as with `label --campaign --measure --min-votes`."""

    campaign: str | None = None
    """Campaign whose votes are read; default: the one that asked about each galaxy."""
    measure: Literal["weighted", "fraction", "count", "weight", "debiased"] | None = None
    """Which vote fractions are read; default: the first that the scheme asks for."""
    min_votes: int = Field(0, ge=0)
    """Fewest volunteers for a class; galaxies with fewer are left out."""

    @property
    def choice(self) -> Choice:
        """Return which votes to read: Galaxy Zoo project, kind of vote fraction, fewest votes."""
        from gzfeatures.galaxies.votes.vote_columns import Choice

        return Choice(self.campaign, self.measure, self.min_votes)


class ImagedCatalog(Section):
    """Name a catalog of galaxies and the place of their images."""

    catalog: Path
    """Catalog, or table of votes; for the galaxies that are split, labels may take its place."""
    images: Path
    """Folder, archive or address of the images."""
    field: float = Field(1.0, gt=0, le=1)
    """Share of the survey frame that the image files hold: 1 for full frames. A crop is a share
    of the full frame, so that all images show a galaxy at one scale."""
    id_column: str | None = None
    """Column with the ids, where none has a known name."""
    reading: HowRead = HowRead()
    """How image files are read, for what they do not say."""

    @property
    def how(self) -> Reading:
        """Return the options for reading image files, such as stretch and bands, as one object."""
        return Reading(**dict(self.reading), field=self.field)


class ByDigest(Section):
    """Split galaxies by the remainder of a hash of their ids."""

    test: tuple[int, ...]
    """Remainders that go to test."""
    validation: tuple[int, ...] = ()
    """Remainders that go to validation."""
    of: int = Field(10, ge=2)
    """Divisor of the digest."""


class SecondTarget(_Votes):
    """Name a catalog and class scheme, whose labels networks learn besides the main labels."""

    catalog: Path
    """Catalog with the votes of the second target."""
    scheme: str = "votes-37"
    """Scheme of the second target."""
    id_column: str | None = None
    """Column with the ids, where none has a known name."""


class Galaxies(ImagedCatalog, _Votes):
    """Name the galaxies to split and score, and further galaxies that are only trained on."""

    scheme: str = "zhu-5class"
    """Class scheme from `list schemes`, or a TOML file."""
    target: str | None = None
    """Numeric column, of the labels or else of the catalog, predicted in place of classes."""
    redshift: bool | None = None
    """Whether the target is a redshift, whose errors are in units of 1 + z."""
    as_number: bool = False
    """Whether integers of the target are a number, not codes of classes."""
    others: Literal["class", "left-out"] | None = None
    """Whether galaxies that no rule claims are the class `none-of-these` or left out."""
    labels: Path | None = None
    """Labels CSV in place of a scheme; its column `split` is kept. Without a catalog it is one."""
    missing_label: tuple[str, ...] = ()
    """Words in the labels that mean no label, such as NA."""
    label_as_is: bool = False
    """Whether words such as NA are classes."""
    split: tuple[float, float, float] | ByDigest = (0.7, 0.1, 0.2)
    """Shares of train, validation and test, or a rule on the digests of ids, which then also
    keeps out galaxies that only train."""
    neighbours_arcsec: float = Field(NEAR_ARCSEC, ge=0)
    """Galaxies within this distance are on one side of the split; 0 parts them."""
    on_bad: Literal["raise", "skip"] = "raise"
    """At a missing or broken image, stop, or leave the galaxy out."""
    training_only: tuple[ImagedCatalog, ...] = ()
    """Further catalogs whose galaxies only train."""
    also: SecondTarget | None = None
    """Second target, which networks learn besides the first."""

    @model_validator(mode="before")
    @classmethod
    def _labels_are_a_catalog(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and fields.get("labels") and "catalog" not in fields:
            return {**fields, "catalog": fields["labels"]}
        return fields

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
