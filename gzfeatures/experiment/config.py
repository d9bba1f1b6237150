"""Define the settings of experiment files (TOML), and read these files."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gzfeatures import fingerprint
from gzfeatures.errors import InputError, parsing
from gzfeatures.files import require_file
from gzfeatures.galaxies.splits.separation import NEAR_ARCSEC
from gzfeatures.images.reading import Reading

SETTINGS = "experiment.json"
"""Name of the file in a run's folder that holds the run's settings."""

if TYPE_CHECKING:
    from gzfeatures.galaxies.votes.vote_columns import Choice

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HowRead(_Section):
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


class _Votes(_Section):
    """Say which votes of a catalog are read: `label --campaign`, `--measure`, `--min-votes`."""

    campaign: str | None = None
    measure: Literal["weighted", "fraction", "count", "weight", "debiased"] | None = None
    min_votes: int = Field(0, ge=0)

    @property
    def choice(self) -> Choice:
        """Return the three settings as one value."""
        from gzfeatures.galaxies.votes.vote_columns import Choice

        return Choice(self.campaign, self.measure, self.min_votes)


class ImagedCatalog(_Section):
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


class ByDigest(_Section):
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


class FrozenBackbone(_Section):
    """Name a backbone that is not trained further, with settings to override.

    With `dihedral` its vectors are means over the 8 symmetries of the square.
    """

    name: str
    weights: str | None = None
    layer: str | None = None
    view: str | None = None
    dihedral: bool = False


class NetworkChoice(_Section):
    """Name a network to train; with `as_backbone`, heads are fitted on its embeddings too.

    `recipe` is probe, tune or scratch; by default tune where there are weights to start from.
    `epochs` follow from the number of galaxies where they are not given. `options` are keyword
    arguments of `gzfeatures.networks.training.train.train`. With `seeds` it is trained once for
    each (the split stays that of the experiment's seed), and the report says how far they spread.
    `learning_curve` lists numbers of labels on which it is trained from its start too. With
    `members` that many seeds are trained, and the mean of their probabilities is one network more,
    with a row of its own in the ranking.
    """

    name: str
    weights: str | None = None
    view: str = ""
    recipe: Literal["probe", "tune", "scratch"] | None = None
    epochs: int | None = Field(None, ge=1)
    as_backbone: bool = True
    seeds: tuple[int, ...] = ()
    learning_curve: tuple[int, ...] = ()
    members: int = Field(1, ge=1)
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _nothing_twice(self) -> NetworkChoice:
        keys = {
            *type(self).model_fields,
            "device",
            "precision",
            "seed",
            "folder",
            "resume",
            "again",
        }
        twice = sorted(keys & set(self.options))
        if twice:
            raise ValueError(f"options: {twice[0]} has a key of its own")
        return self

    @model_validator(mode="after")
    def _seeds_of_members(self) -> NetworkChoice:
        if self.members > 1 and self.seeds and len(self.seeds) != self.members:
            raise ValueError(
                f"members: {self.members} of them have as many seeds, not {len(self.seeds)}; "
                "leave seeds out, and they are counted from that of the experiment"
            )
        return self

    def seeds_from(self, seed: int) -> tuple[int, ...]:
        """Return the seeds of the trainings, counted from the experiment's seed if none are given.

        Examples
        --------
        >>> NetworkChoice(name="resnet18", members=3).seeds_from(5)
        (5, 6, 7)
        """
        return self.seeds or tuple(range(seed, seed + self.members))


class HeadChoice(_Section):
    """Name a head and its parameters.

    With `seeds` it is fitted once for each (the split stays that of the experiment's seed), and the
    report says how far they spread; on a network trained with several seeds, heads have the
    network's.
    """

    name: str
    tune: bool = False
    seeds: tuple[int, ...] = ()
    parameters: dict[str, Any] = Field(default_factory=dict)


class Joined(_Section):
    """Join several tables and catalog columns as one more input of every head.

    `backbones` and `networks` (that are backbones too; of several seeds the first) are listed by
    the names they have in the experiment; `columns` are those that `Catalog.column` knows, such as
    redshift.
    """

    backbones: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    @property
    def tables(self) -> tuple[tuple[str, str], ...]:
        """Return approach and name of each table, in order."""
        return (
            *(("frozen", name) for name in self.backbones),
            *(("fine-tuned", name) for name in self.networks),
        )


class Experiment(_Section):
    """Hold all settings of one run, which stay fixed during the run.

    `heads_on` says what heads are fitted on: all training galaxies, or only those of the catalog
    that is split, for galaxies that only train may have other shares of classes than the galaxies
    that are scored. `learning_curve` lists numbers of labels at which the heads of each approach's
    best table are fitted too, for three seeds each. `sizes` lists numbers of labels, training and
    validation together, at which every network and every head on a frozen table is measured, in one
    plot that says from where fine-tuning pays. `jobs` is how many settings are tried at once
    when heads are tuned. `explain` says how many galaxies of each class the report explains, of the
    best head and the best network; with 0, a run in which only heads changed loads no network.
    `allow_seen` scores heads also on test galaxies that their backbone was trained on, with a
    dagger in the report.
    """

    name: Name
    description: str = ""
    seed: int = Field(0, ge=0)
    galaxies: Galaxies
    backbones: tuple[FrozenBackbone, ...] = ()
    networks: tuple[NetworkChoice, ...] = ()
    heads: tuple[HeadChoice, ...] = ()
    joined: tuple[Joined, ...] = ()
    jobs: int = Field(1, ge=-1)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    heads_on: Literal["all", "catalog"] = "all"
    learning_curve: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()
    map: bool = True
    explain: int = Field(0, ge=0)
    allow_seen: bool = False

    @model_validator(mode="after")
    def _something_to_do(self) -> Experiment:
        if not self.networks and not (self.backbones and self.heads):
            raise ValueError("name at least one network, or a backbone and a head")
        return self

    @model_validator(mode="after")
    def _one_curve(self) -> Experiment:
        older = self.learning_curve or any(each.learning_curve for each in self.networks)
        if self.sizes and older:
            raise ValueError("sizes: they take the place of learning_curve; leave one of them out")
        if any(size < 2 for size in self.sizes):
            raise ValueError("sizes: each is a number of labels above 1")
        return self

    @model_validator(mode="after")
    def _heads_once(self) -> Experiment:
        # heads with the same name would write to the same file
        names = [choice.name for choice in self.heads]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(
                f"heads: {twice} is listed twice; give it seeds, or its other parameters a run"
            )
        return self

    @model_validator(mode="after")
    def _known_tables(self) -> Experiment:
        tables = {("frozen", choice.name) for choice in self.backbones}
        tables |= {("fine-tuned", network.name) for network in self.networks if network.as_backbone}
        for joint in self.joined:
            if not joint.tables or len(joint.tables) + len(joint.columns) < 2:
                raise ValueError("joined: name two tables, or a table and a column")
            for approach, name in joint.tables:
                if (approach, name) not in tables:
                    raise ValueError(
                        f"joined: {name} is none of the experiment's {approach} tables"
                    )
        return self

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Return the files and folders that a run reads: catalogs, images, labels, weights."""
        return tuple(_paths(self.model_dump()))

    @property
    def fingerprint(self) -> str:
        """Sha256 of all settings except the description."""
        settings = self.model_dump(mode="json", exclude={"description"})
        for source in (settings["galaxies"], *settings["galaxies"]["training_only"]):
            # the first runs lack this setting, and should keep their fingerprint
            if not any(source["reading"].values()):
                del source["reading"]
        # earlier runs lack these settings too: they count only where they are used
        for section, younger in (
            (settings, _YOUNGER),
            (settings["galaxies"], _YOUNGER_OF_GALAXIES),
            *((network, _YOUNGER_OF_NETWORKS) for network in settings["networks"]),
        ):
            for name, default in younger.items():
                if section[name] == default:
                    del section[name]
        return fingerprint.of(settings)


_YOUNGER: dict[str, Any] = {"sizes": []}
_YOUNGER_OF_GALAXIES: dict[str, Any] = {
    "others": None,
    "target": None,
    "redshift": None,
    "as_number": False,
}
_YOUNGER_OF_NETWORKS: dict[str, Any] = {"members": 1}
"""Settings that earlier runs lack, with their defaults."""


def _paths(fields: Any) -> Iterator[Path]:
    if isinstance(fields, (dict, list, tuple)):
        for each in fields.values() if isinstance(fields, dict) else fields:
            yield from _paths(each)
    elif isinstance(fields, Path) or (isinstance(fields, str) and Path(fields).is_absolute()):
        yield Path(fields)


def _value(text: str) -> Any:
    """Parse one value by the rules of TOML; text that is not TOML stays text."""
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return text


def _put(fields: Any, keys: Sequence[str], value: Any, item: str) -> None:
    key: Any = keys[0]
    try:
        # in `backbones.0.weights`, the number counts list entries from 0
        if isinstance(fields, list):
            key = int(key)
        if len(keys) == 1:
            fields[key] = value
        else:
            _put(
                fields.setdefault(key, {}) if isinstance(fields, dict) else fields[key],
                keys[1:],
                value,
                item,
            )
    except (ValueError, IndexError, TypeError, AttributeError):
        raise InputError(
            "setting cannot be placed",
            where=f"--set {item}",
            rule="name a key such as galaxies.images or backbones.0.weights",
        ) from None


def _absolute(fields: Any, base: Path, key: str = "") -> Any:
    """Make paths absolute; a name counts as a path if it begins with `./`, `../`, `/` or `~`."""
    if isinstance(fields, list):
        return [_absolute(item, base, key) for item in fields]
    if isinstance(fields, dict):
        return {name: _absolute(value, base, name) for name, value in fields.items()}
    if not isinstance(fields, str):
        return fields
    path_like = fields.startswith(("./", "../", "/", "~"))
    if key in ("catalog", "images", "labels") or (
        key in ("weights", "scheme", "name", "backbones", "networks") and path_like
    ):
        return str((base / Path(fields).expanduser()).resolve())
    return fields


def with_settings(fields: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Put `key=value` settings with dotted keys into `fields`.

    Relative paths start at the working folder.

    Raises
    ------
    InputError
        A setting is not `key=value`, or its key leads nowhere.
    """
    for item in settings:
        key, equals, text = item.partition("=")
        if not equals or not key:
            raise InputError("setting cannot be read", where=f"--set {item}", rule="be key=value")
        last = key.split(".")[-1]
        _put(fields, key.split("."), _absolute({last: _value(text)}, Path.cwd())[last], item)
    return fields


def load(path: str | Path, settings: Sequence[str] = ()) -> Experiment:
    """Read an experiment file, or the settings of an earlier run from its folder.

    Parameters
    ----------
    path : str or Path
        TOML file; or a run folder, whose `experiment.toml` or `experiment.json` is read.
    settings : sequence of str
        `key=value` with dotted keys (`galaxies.images=…`, `backbones.0.weights=…`), applied on top;
        relative paths in them are taken from the working folder.

    Raises
    ------
    MissingFileError, InputError
        No such file; not TOML; a key is unknown; a value breaks its rule (all problems are named).
    """
    path = require_file(path, "experiment")
    if path.is_dir():
        # the folder of a run contains the settings of the run
        path = require_file(path / SETTINGS, "settings of the earlier run")
    with parsing("experiment cannot be read", path, rule="be TOML"):
        text = path.read_text(encoding="utf-8")
        fields = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    # paths in the file are relative to the file, paths of --set to the working folder
    fields = with_settings(_absolute(fields, path.parent), settings)
    try:
        return Experiment.model_validate(fields)
    except ValidationError as error:
        # report all problems at once, because a run may wait a day in a queue
        problems = [
            f"{'.'.join(map(str, e['loc'])) or 'experiment'}: {e['msg']}" for e in error.errors()
        ]
        raise InputError(
            "; ".join(problems), where=path, remedy="see experiments/README.md"
        ) from None
