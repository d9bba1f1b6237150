"""Audit embeddings: measure how well they predict nuisances such as redshift or seeing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gzfeatures import fingerprint
from gzfeatures.audit.class_slices import (
    SliceScore,
    balanced_accuracy,
    predicted_codes,
    slice_scores,
)
from gzfeatures.audit.findings import Audit
from gzfeatures.audit.finished_steps import FinishedSteps
from gzfeatures.audit.movement import Movement, Rerun, movements
from gzfeatures.audit.probes.morphology import Morphology, morphology_of
from gzfeatures.audit.probes.nuisance_columns import FEWEST, nuisances_of
from gzfeatures.audit.probes.nuisances import Nuisance
from gzfeatures.audit.probes.pixels import measured_all, pixel_nuisances
from gzfeatures.audit.probes.probe import DRAWS, Probe, probed
from gzfeatures.audit.probes.ridge import Fold, Matrix, components, explained, out_of_fold
from gzfeatures.audit.probes.sky_folds import FOLDS, blocks_of, sky_groups_of
from gzfeatures.audit.training_galaxies import training_galaxies
from gzfeatures.errors import GzError, InputError
from gzfeatures.explore.duplicates import AMONG, duplicates
from gzfeatures.explore.table_similarity import drawn_alike
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.heads.folds import folds_of
from gzfeatures.ids import Ids, among, positions
from gzfeatures.images.image_set import ImageSet
from gzfeatures.progress import Progress, handed

if TYPE_CHECKING:
    from gzfeatures.galaxies.catalogs.catalog import Catalog

COMPONENTS = 256
"""Principal components of the vectors that probes read, at most."""
DRAWS_EACH = 25
"""Draws for each nuisance of an audit, at least."""
FIRST = 20
"""Pairs of near duplicates that are listed."""


@dataclasses.dataclass(frozen=True)
class AuditOptions:
    """Choose an audit's nuisances (such as redshift), number of random draws, seed and encoder.

    Parameters
    ----------
    nuisances : tuple of str
        Columns of the catalog; by default those with usual names.
    draws : int
        Simulations of each nuisance under the null hypothesis; more if there are many nuisances.
    seed : int
        Seed of all random choices.
    rerun : Rerun
        Paths of the encoder, to run it on changed images.
    """

    nuisances: tuple[str, ...] = ()
    draws: int = DRAWS
    seed: int = 0
    rerun: Rerun = Rerun()  # noqa: RUF009

    def __post_init__(self) -> None:
        if self.draws < 19:
            raise InputError("draws of an audit", rule="be 19 or more", found=self.draws)


@dataclasses.dataclass(frozen=True, eq=False)
class _Sample:
    """Store galaxies with known embedding and morphology; divide them for cross-validation."""

    table: EmbeddingTable
    vectors: Matrix
    morphology: Morphology
    groups: dict[str, str]
    options: AuditOptions
    key: str

    def folds(self, ids: Ids) -> list[Fold]:
        """Divide galaxies into cross-validation folds; all galaxies of a group share a fold."""
        blocks = blocks_of(ids, self.groups)
        if len(np.unique(blocks)) < FOLDS:
            raise InputError(
                "groups of galaxies that folds keep together",
                rule=f"be {FOLDS} or more",
                found=len(np.unique(blocks)),
            )
        same = np.zeros(len(ids), dtype=np.int64)
        return folds_of(same, blocks, FOLDS, self.options.seed)

    def rows(self, ids: Ids) -> npt.NDArray[np.intp]:
        """Return row numbers of the given galaxies in the arrays `vectors` and `morphology`."""
        return positions(self.table.ids, ids, where="sample of the audit")


def audit_table(
    table: EmbeddingTable,
    labels: Labels,
    catalog: Catalog | None = None,
    images: ImageSet | None = None,
    options: AuditOptions = AuditOptions(),
    *,
    folder: Path | None = None,
    progress: Progress | bool = False,
) -> Audit:
    """Measure how much better embeddings predict nuisances, such as redshift, than morphology does.

    Parameters
    ----------
    table : EmbeddingTable
        Embeddings to audit.
    labels : Labels
        Morphology: classes, or vote fractions.
    catalog : Catalog, optional
        Catalog with nuisances, and with sky positions, by which neighbours share a fold.
    images : ImageSet, optional
        Images for nuisances such as noise; changed copies of them are given to the encoder.
    options : AuditOptions
    folder : Path, optional
        Folder where results of steps are saved, and read again if nothing has changed.
    progress : Progress or bool
        Gets messages and progress bars; True shows them in the terminal, False (default) nowhere.

    Raises
    ------
    InputError
        Too few galaxies have vectors and labels, or a column is missing.
    OutputError
        The folder cannot be written.
    """
    teller, steps = handed(progress), FinishedSteps(folder)
    sample, description = _sample(table, labels, catalog, options)
    teller.say(f"{len(sample.table)} galaxies with vectors and labels; folds keep {description}")
    nuisances, not_judged = _nuisances(sample, catalog, images, steps, teller)
    probes = []
    # the smallest possible p value is 1 / (draws + 1): with few draws it could not pass the
    # correction for the number of nuisances
    draws = max(options.draws, DRAWS_EACH * len(nuisances))
    with teller.counted("probing nuisances", len(nuisances)) as advance:
        for nuisance in nuisances:
            probes.append(_probe(sample, nuisance, draws, steps))
            advance()
    scores, sliced = _class_scores(sample, nuisances, steps)
    moved: list[Movement] = []
    if images is None:
        not_judged.append(("images that are changed", "they need --images"))
    else:
        try:
            moved = _movements(table, images, options, steps, teller)
        except GzError as error:
            not_judged.append(("images that are changed", str(error)))
    twins = _duplicates(table, steps)
    if not twins:
        not_judged.append(("near duplicates", f"the table has no more than {AMONG} galaxies"))
    about = {
        "rows": len(table),
        "dim": table.dim,
        "backbone": table.extractor.backbone,
        "extractor": table.extractor.fingerprint,
    }
    return Audit(
        about,
        scores | {"folds": description},
        tuple(probes),
        tuple(sliced),
        tuple(moved),
        twins,
        training_galaxies(table),
        tuple(not_judged),
    )


def _sample(
    table: EmbeddingTable, labels: Labels, catalog: Catalog | None, options: AuditOptions
) -> tuple[_Sample, str]:
    """Choose the galaxies of an audit; also return a phrase that says what a fold keeps together.

    An example of the phrase is "galaxies that share an image or are near duplicates".
    """
    whole = morphology_of(labels)
    ids = drawn_alike(table.ids[among(table.ids, whole.ids)], options.seed)
    if len(ids) < FEWEST:
        raise InputError(
            "galaxies with vectors and labels", rule=f"be {FEWEST} or more", found=len(ids)
        )
    part = table.select(ids)
    numbers = whole.numbers[positions(whole.ids, ids)]
    morphology = dataclasses.replace(whole, ids=ids, numbers=numbers)
    groups, description = sky_groups_of(part, catalog)
    # use at most a third as many principal components as galaxies, so that each regression, fitted
    # on four fifths of the galaxies, has more than twice as many rows as columns
    vectors = components(part.matrix, min(COMPONENTS, len(ids) // 3))
    key = fingerprint.of(
        [
            fingerprint.of_array(part.matrix),
            list(ids),
            fingerprint.of_array(numbers),
            sorted(groups.items()),
            options.seed,
        ]
    )
    return _Sample(part, vectors, morphology, groups, options, key), description


def _nuisances(
    sample: _Sample,
    catalog: Catalog | None,
    images: ImageSet | None,
    steps: FinishedSteps,
    progress: Progress,
) -> tuple[list[Nuisance], list[tuple[str, str]]]:
    """Read nuisances (redshift, noise, …) from catalog and pixels; list unusable ones and why."""
    ids = sample.table.ids
    made: list[Nuisance] = []
    not_judged: list[tuple[str, str]] = []
    if catalog is None:
        not_judged.append(("nuisances of a catalog", "they need --catalog"))
    else:
        found = nuisances_of(catalog, ids, sample.options.nuisances)
        made += found.nuisances
        not_judged += found.left_out
        if not found.nuisances:
            not_judged.append(("nuisances of the catalog", "no column has a usual name"))
    if images is None:
        not_judged.append(("nuisances on pixels", "they need --images"))
    else:
        shown = images.select(ids[among(ids, images.ids)])
        numbers = steps.result(
            "pixels",
            shown.stamp(),
            lambda: [each.by_name() for each in measured_all(shown, progress)],
        )
        on_pixels, left_out = pixel_nuisances(shown, numbers)
        made += on_pixels
        not_judged += left_out
    for nuisance in made:
        progress.say(
            f"nuisance {nuisance.name}: {nuisance.origin}, of {len(nuisance.ids)} galaxies"
        )
    return made, not_judged


def _probe(sample: _Sample, nuisance: Nuisance, draws: int, steps: FinishedSteps) -> Probe:
    """Measure how well embeddings predict a nuisance such as redshift, or read a stored result."""

    def compute() -> dict[str, Any]:
        rows = sample.rows(nuisance.ids)
        probe = probed(
            sample.vectors[rows],
            sample.morphology.numbers[rows],
            nuisance,
            sample.folds(nuisance.ids),
            seed=sample.options.seed,
            draws=draws,
        )
        return dataclasses.asdict(probe)

    key = [sample.key, _key_of(nuisance), draws]
    return Probe(**steps.result(f"nuisance {nuisance.name}", key, compute))


def _key_of(nuisance: Nuisance) -> list[Any]:
    """Return name, origin, ids and values of a nuisance, by which its stored result is found."""
    values = fingerprint.of_array(nuisance.values)
    return [nuisance.name, nuisance.origin, list(nuisance.ids), values, list(nuisance.categories)]


def _class_scores(
    sample: _Sample, nuisances: Sequence[Nuisance], steps: FinishedSteps
) -> tuple[dict[str, Any], list[SliceScore]]:
    """Score how well embeddings predict morphology, overall and in slices (of redshift, seeing)."""
    key = [sample.key, [_key_of(nuisance) for nuisance in nuisances]]
    found = steps.result("classes", key, lambda: _computed_scores(sample, nuisances))
    rows = []
    for row in found["slices"]:
        fields = {name: value for name, value in row.items() if name != "left"}
        rows.append(SliceScore(**fields | {"interval": _pair(row["interval"])}))
    return found["scores"], rows


def _pair(values: Sequence[float] | None) -> tuple[float, float] | None:
    return None if values is None else (values[0], values[1])


def _computed_scores(sample: _Sample, nuisances: Sequence[Nuisance]) -> dict[str, Any]:
    """Fit linear models that predict morphology and classes from embeddings; return the scores."""
    morphology, ids = sample.morphology, sample.table.ids
    folds = sample.folds(ids)
    told = explained(morphology.numbers, out_of_fold(sample.vectors, morphology.numbers, folds))
    scores: dict[str, Any] = {
        "description": morphology.description,
        "galaxies": len(ids),
        "by_name": dict(zip(morphology.names, told.tolist(), strict=True)),
        "classes": [],
        "score": None,
        "interval": None,
    }
    slices: list[SliceScore] = []
    classes = morphology.classes
    if classes is not None:
        # a galaxy has no class if nobody voted on its first question: leave it out
        rows = np.flatnonzero(among(ids, classes.ids))
        truth = classes.codes[positions(classes.ids, ids[rows])]
        predicted = predicted_codes(sample.vectors[rows], truth, sample.folds(ids[rows]))
        count = len(classes.classes)
        whole = balanced_accuracy(truth, predicted, count)
        if whole is not None:
            scores |= {"score": whole[0], "interval": whole[1]}
        scores["classes"] = list(classes.classes)
        for nuisance in nuisances:
            part = nuisance.select(nuisance.ids[among(nuisance.ids, ids[rows])])
            here = positions(ids[rows], part.ids)
            slices += slice_scores(part, truth[here], predicted[here], count)
    return {"scores": scores, "slices": [row.asdict() for row in slices]}


def _movements(
    table: EmbeddingTable,
    images: ImageSet,
    options: AuditOptions,
    steps: FinishedSteps,
    progress: Progress,
) -> list[Movement]:
    """Measure how far embeddings move if images change, or read the result of an earlier audit."""
    rerun = options.rerun
    where = [str(rerun.backbone), str(rerun.weights), rerun.sample, options.seed]
    key = [fingerprint.of_array(table.matrix), list(table.ids), images.stamp(), where]

    def compute() -> list[dict[str, Any]]:
        moved = movements(table, images, rerun, seed=options.seed, progress=progress)
        return [row.asdict() for row in moved]

    return [Movement(**row) for row in steps.result("movements", key, compute)]


def _duplicates(table: EmbeddingTable, steps: FinishedSteps) -> dict[str, Any]:
    """Count near duplicates, or read the count of an earlier audit; {} for a small table."""
    if len(table) <= AMONG:
        return {}

    def compute() -> dict[str, Any]:
        frame = duplicates(table)
        pairs = frame[["galaxy_id", "twin"]].astype("str").to_numpy().tolist()
        return {
            "pairs": len(frame),
            "galaxies": len({name for pair in pairs for name in pair}),
            "same_image": int(frame["same_image"].sum()),
            "first": pairs[:FIRST],
        }

    key = [fingerprint.of_array(table.matrix), list(table.ids), list(table.digests)]
    found: dict[str, Any] = steps.result("duplicates", key, compute)
    return found
