"""Fit the heads that come with googlenet-gz2 and measure what they promise.

    python experiments/packaged_heads.py ../shared/data/gz2 \\
        -o gzfeatures/networks/weights/googlenet-gz2/heads

The folder holds `images/`, `votes.csv` and `classes.csv` of Galaxy Zoo 2 galaxies. Four heads are
written: `zhu-5class.skops` (the five classes of Zhu+2019 and none-of-these, with calibration, class
sets and familiarity, on mean vectors of 8 mirror images and quarter turns),
`zhu-5class.one-view.skops` (the same for tables of single vectors) and `votes-37.skops` (the 37
vote fractions, with familiarity) and `votes-37.eight-views.skops` (the same on mean vectors).

The classes are learned from what the votes say of them: a galaxy with votes counts for a class as
often as new panels of 40 volunteers would give it that class, so that one close to a threshold
teaches little. Directions in which the vector of a galaxy depends on how the galaxy is turned are
penalised most (a ridge penalty in coordinates in which that scatter is the same everywhere).

Which galaxy does what follows from the digest of its id, as in the backbone's own training:

- the backbone has seen all but those whose digest ends in 3, and in 9, 29, 59 or 79: those seen fit
  the heads;
- 9, 29, 59 and 79 (on which the backbone's last epoch was chosen) teach the temperature;
- 3, the own tenth, gives the thresholds of class sets; both together give the p values of
  familiarity.

The figures printed come from halves of the own tenth, twenty times: one half calibrates as the
packaged head is calibrated by the whole, the other is counted.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_sample_image
from sklearn.metrics import roc_auc_score

import gzfeatures as gz
from gzfeatures.evaluation.conformal_sets import Conformal
from gzfeatures.evaluation.statistics.proportions import clopper_pearson
from gzfeatures.features.backbones import backbone
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.galaxies.labels.labels import Labels
from gzfeatures.galaxies.splits.split import Split, digest_remainders
from gzfeatures.heads.estimators.machines import LinearMachine
from gzfeatures.heads.fit import fit
from gzfeatures.heads.head import Head
from gzfeatures.unlabelled.familiarity import LEVEL, Familiarity
from gzfeatures.unlabelled.shift import Shares

NONE = "none-of-these"
CLASSES = ("smooth-round", "smooth-inbetween", "smooth-cigar", "edge-on", "spiral", NONE)
COVERAGE, HALVES = 0.9, 20
PENALTY, FLOOR = 3e-4, 0.1
"""Inverse penalty of the weights; share of the mean scatter that is added in every direction."""
PANELS, VOLUNTEERS = 100, 40
"""Panels drawn of each galaxy, and volunteers in each (Willett+2013)."""


def strangers(folder: Path, count: int, seed: int) -> None:
    """Draw pictures without a galaxy: noise of many colours, shapes that hide each other,
    gradients, stripes."""
    from PIL import Image, ImageDraw, ImageFilter

    draw, size = np.random.default_rng(seed), 424
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = 1

    def noise(slope: float) -> np.ndarray:
        """Noise whose power falls with frequency, as in photographs; unit variance, three mixed
        bands."""
        shape = (3, *frequency.shape)
        waves = (draw.normal(size=shape) + 1j * draw.normal(size=shape)) * frequency**-slope
        bands = np.moveaxis(np.fft.irfft2(waves, s=(size, size)), 0, -1)
        return bands / bands.std((0, 1)) @ (np.eye(3) * 0.4 + 0.6)

    def shapes() -> np.ndarray:
        """Discs and polygons of all sizes, one over the other (dead leaves), softened."""
        image = Image.new("RGB", (size, size), tuple(int(c) for c in draw.integers(0, 256, 3)))
        pen, base, spread = ImageDraw.Draw(image), draw.integers(0, 256, 3), draw.uniform(10, 80)
        for _ in range(int(draw.integers(20, 400))):
            r = min(200.0, 4 * draw.pareto(1.5) + draw.uniform(3, 10))
            x, y = draw.uniform(0, size, 2)
            colour = tuple(int(c) for c in np.clip(base + draw.normal(0, spread, 3), 0, 255))
            if draw.random() < 0.5:
                flat = r * draw.uniform(0.3, 1)
                pen.ellipse((x - r, y - flat, x + r, y + flat), fill=colour)
            else:
                turns = np.sort(draw.uniform(0, 2 * np.pi, int(draw.integers(3, 7))))
                pen.polygon([(x + r * np.cos(t), y + r * np.sin(t)) for t in turns], fill=colour)
        soft = np.asarray(image.filter(ImageFilter.GaussianBlur(draw.uniform(0, 4))), dtype=float)
        return soft * (1 + 0.3 * noise(1.2)[..., :1]) + draw.normal(
            0, draw.uniform(0, 6), soft.shape
        )

    def gradient() -> np.ndarray:
        y, x = np.mgrid[:size, :size] / size
        turn = draw.uniform(0, 2 * np.pi)
        low, high = draw.uniform(0, 255, 3), draw.uniform(0, 255, 3)
        ramp = low + (high - low) * (x * np.cos(turn) + y * np.sin(turn))[..., None]
        return ramp + noise(draw.uniform(0.6, 2)) * draw.uniform(2, 20)

    def stripes() -> np.ndarray:
        y, x = np.mgrid[:size, :size]
        turn, width = draw.uniform(0, np.pi), draw.uniform(4, 80)
        wave = np.sin((x * np.cos(turn) + y * np.sin(turn)) / width * 2 * np.pi)
        wave = np.sign(wave) if draw.random() < 0.5 else wave
        return draw.uniform(60, 180, 3) + wave[..., None] * draw.uniform(20, 90, 3)

    def plain() -> np.ndarray:
        return draw.uniform(0, 200, 3) + draw.normal(0, draw.uniform(1, 60), (size, size, 3))

    kinds = {
        "noise": lambda: draw.uniform(40, 200, 3)
        + noise(draw.uniform(0.5, 2.2)) * draw.uniform(8, 70),
        "shapes": shapes, "gradient": gradient, "stripes": stripes, "plain": plain,
    }  # fmt: skip
    for name, make in kinds.items():
        for number in range(count):
            picture = np.clip(make(), 0, 255).astype(np.uint8)
            Image.fromarray(picture).save(folder / f"{name}{number:04}.png")


def nonsense(folder: Path, count: int, seed: int) -> None:
    """What must be flagged, none of it met in fitting: blank frames, white noise, crops of two
    photographs."""
    from PIL import Image

    draw, size = np.random.default_rng(seed), 424
    photographs = [load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    for number in range(count):
        blank = np.broadcast_to(draw.integers(0, 256, 3), (size, size, 3)).astype(np.uint8)
        Image.fromarray(blank).save(folder / f"blank{number:04}.png")
        noise = np.clip(
            draw.normal(draw.uniform(20, 200), draw.uniform(10, 80), (size, size, 3)), 0, 255
        )
        Image.fromarray(noise.astype(np.uint8)).save(folder / f"noise{number:04}.png")
        photograph, side = photographs[number % 2], int(draw.integers(150, 425))
        y, x = (int(draw.integers(0, length - side + 1)) for length in photograph.shape[:2])
        crop = Image.fromarray(photograph[y : y + side, x : x + side]).resize((size, size))
        crop.save(folder / f"photograph{number:04}.png")


def extracted(source: Path, dihedral: bool) -> EmbeddingTable:
    """Vectors of a folder's images by the packaged backbone."""
    return gz.extract(gz.ImageSet.of(source), "googlenet-gz2", dihedral=dihedral)


def drawn(make: Any, count: int, seed: int) -> dict[bool, EmbeddingTable]:
    """Vectors of drawn pictures: mean over symmetries (True), and of one view (False)."""
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), count, seed)
        return {dihedral: extracted(Path(folder), dihedral) for dihedral in (True, False)}


def panels(votes: Labels, ids: np.ndarray, seed: int = 0) -> np.ndarray:
    """Share of new panels in which each class of `CLASSES` claims a galaxy, shape (n, 6).

    Each question is answered anew by as many volunteers as were asked it, with the fractions of the
    first panel; then the rules of Zhu+2019 are read from the new fractions.
    """
    draw = np.random.default_rng(seed)
    fractions = votes.select(ids).values
    column = {name: number for number, name in enumerate(votes.classes)}
    claims = np.zeros((len(ids), len(CLASSES)))

    def answered(names: tuple[str, ...], parent: np.ndarray) -> np.ndarray:
        """Cumulative fractions of one question, drawn again, shape (n, answers)."""
        given = np.maximum(fractions[:, [column[name] for name in names]], 1e-9)
        asked = np.rint(parent * VOLUNTEERS).astype(int)
        counts = draw.multinomial(asked, given / given.sum(1, keepdims=True))
        return counts / np.maximum(asked, 1)[:, None] * parent[:, None]

    for _ in range(PANELS):
        first = answered(("smooth", "features-or-disk", "star-or-artifact"), np.ones(len(ids)))
        smooth, disk = first[:, 0], first[:, 1]
        shape = answered(("completely-round", "in-between", "cigar-shaped"), smooth)
        edge = answered(("edge-on-yes", "edge-on-no"), disk)
        spiral = answered(("spiral-yes", "spiral-no"), edge[:, 1])
        # thresholds of Zhu+2019, as in the scheme zhu-5class
        claimed = np.column_stack([
            (smooth[:, None] >= 0.469) & (shape >= 0.5),
            (disk >= 0.430) & (edge[:, 0] >= 0.602),
            (disk >= 0.430) & (edge[:, 1] >= 0.715) & (spiral[:, 0] >= 0.619),
        ]).astype(float)  # fmt: skip
        rules = claimed.sum(1, keepdims=True)
        claims += np.column_stack([claimed / np.maximum(rules, 1), rules == 0])
    return claims / PANELS


def steady(single: EmbeddingTable, mean: EmbeddingTable) -> np.ndarray:
    """Axes in which vectors scatter alike when galaxies are turned, shape (dim, dim)."""
    noise = np.cov((single.matrix - mean.matrix).astype(np.float64).T)
    # a tenth of the mean variance is added, or directions that hardly scatter would be free
    noise += FLOOR * np.trace(noise) / len(noise) * np.eye(len(noise))
    variances, axes = np.linalg.eigh(noise)
    return axes / np.sqrt(variances)


def class_head(
    table: EmbeddingTable, labels: Labels, votes: Labels, seen: np.ndarray, axes: np.ndarray
) -> Head:
    """The head of six classes, learned from shares of panels in the axes given."""
    train = np.intersect1d(seen, labels.ids)
    empty = np.empty(0, dtype=object)
    head = fit(table, labels, "logistic", split=Split(train, empty, empty), C=PENALTY)
    codes = labels.select(train).codes
    targets = np.eye(len(CLASSES))[codes]
    voted = np.isin(train, votes.ids)
    targets[voted] = panels(votes, train[voted])
    rows, classes = np.nonzero(targets > 0.01)
    middle = table.select(train).matrix.mean(0)
    turned = (table.select(train).matrix - middle) @ axes
    size = turned.std()
    machine = LinearMachine("softmax", PENALTY, 1e-6, 3000).fit(
        np.ascontiguousarray((turned / size)[rows], dtype=np.float32),
        classes,
        targets[rows, classes],
    )
    # written back as weights of standardised vectors, so that the head is a plain logistic one
    weights = axes @ machine.coefficients_ / size
    (_, scaler), (_, linear) = head.estimator.estimator_.steps[-2:]
    linear.coefficients_ = np.asarray(scaler.scale_[:, None] * weights, dtype=np.float32)
    linear.intercept_ = np.asarray(
        machine.intercept_ + (scaler.mean_ - middle) @ weights, dtype=np.float32
    )
    return head


def labels_of(data: Path, ids: np.ndarray) -> tuple[Labels, Labels, np.ndarray]:
    """The six classes, the vote fractions, and the ids of the unbiased draw, of galaxies with
    images."""
    read = {name: pd.read_csv(data / name, dtype={"GalaxyID": str}).set_index("GalaxyID")
            for name in ("classes.csv", "votes.csv")}  # fmt: skip
    known = read["classes.csv"].reindex(ids)
    # no class and votes: no rule claims it; no class and no votes: nobody knows
    has_votes = np.isin(ids, read["votes.csv"].index)
    name = np.where(known.class5.notna(), known.class5.fillna(""), np.where(has_votes, NONE, ""))
    kept = name != ""
    codes = np.array([CLASSES.index(each) for each in name[kept]])
    catalog = gz.Catalog.read(data / "votes.csv").select(ids[has_votes])
    unbiased = ids[(known.unbiased_sample == True).to_numpy()]  # noqa: E712
    return Labels(ids[kept], CLASSES, codes), gz.SCHEMES["votes-37"].label(catalog), unbiased


def familiarity(
    training: EmbeddingTable, kept_out: np.ndarray, others: EmbeddingTable
) -> Familiarity:
    return Familiarity.of(training.matrix, kept_out, others.matrix)


def with_promises(head: Head, table: EmbeddingTable, labels: Labels, known: Familiarity) -> Head:
    """The head with class sets and familiarity by galaxies that nothing was trained on."""
    head = dataclasses.replace(head, familiarity=known)
    labelled = np.intersect1d(table.ids, labels.ids)
    part = table.select(labelled)
    strange = known.p_values_of_calibration(part.matrix) < LEVEL
    predictions = dataclasses.replace(head.predict(part), unfamiliar=strange)
    sets = Conformal.of(predictions, labels.select(labelled), COVERAGE)
    return dataclasses.replace(head, sets=sets, shares=Shares.of(head.predict(table).probabilities))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder with images/, votes.csv and classes.csv")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the heads")
    parser.add_argument("--pictures", type=int, default=300, help="drawn pictures of each kind")
    chosen = parser.parse_args()

    tables = {dihedral: extracted(chosen.data / "images", dihedral) for dihedral in (True, False)}
    table = tables[False]
    labels, votes, unbiased = labels_of(chosen.data, table.ids)
    met = TrainedOn.joined([backbone("googlenet-gz2").trained_on]).contains(table.ids)
    # one that only looks like a training galaxy (1 of 668) neither fits nor calibrates
    alike = np.isin(table.ids, table.seen_ids) & ~met
    tens, hundreds = digest_remainders(table.ids, 10), digest_remainders(table.ids, 100)
    tenth = table.ids[~met & ~alike & (tens == 3)]
    slice_ = table.ids[~met & ~alike & np.isin(hundreds, [9, 29, 59, 79])]
    seen = table.ids[met]

    axes = steady(*(tables[dihedral].select(seen) for dihedral in (False, True)))
    others, flagged = drawn(strangers, chosen.pictures, 1), drawn(nonsense, 200, 2)
    teach = np.intersect1d(slice_, labels.ids)
    # of an unbiased draw of the sky about half satisfy no rule, of these training galaxies fewer:
    # Bayes' rule carries the odds over (Saerens+2002, equation 4); the five classes keep theirs
    known = labels.select(np.intersect1d(unbiased, labels.ids)).codes
    train = labels.select(np.intersect1d(seen, labels.ids)).codes
    odds = [np.mean(codes == len(CLASSES) - 1) for codes in (known, train)]
    share = odds[0] / (1 - odds[0]) * (1 - odds[1]) / odds[1]

    heads: dict[str, Head] = {}
    figures: dict[str, Any] = {}
    for dihedral, name in ((True, "zhu-5class"), (False, "zhu-5class.one-view")):
        of = tables[dihedral]
        head = class_head(of, labels, votes, seen, axes)
        head.estimator.recalibrate(of.select(teach).matrix, labels.select(teach).codes)
        head.estimator.weights_[-1] = share
        training, own, chosen_on = (of.select(part) for part in (seen, tenth, slice_))
        figures[name] = measured(
            head, training, own, chosen_on, labels, unbiased, others[dihedral], flagged[dihedral]
        )
        bound = familiarity(
            training, np.concatenate([own.matrix, chosen_on.matrix]), others[dihedral]
        )
        heads[name] = with_promises(head, own, labels, bound)
    figures = figures.pop("zhu-5class") | {"one view": figures.pop("zhu-5class.one-view")}

    train = np.intersect1d(seen, votes.ids)
    empty = np.empty(0, dtype=object)
    scored = np.intersect1d(np.intersect1d(tenth, votes.ids), unbiased)
    # the penalty is the best for searches by words, by cross-validation on these galaxies
    for dihedral, name in ((True, "votes-37.eight-views"), (False, "votes-37")):
        of, like = tables[dihedral], "zhu-5class" if dihedral else "zhu-5class.one-view"
        fractions = fit(of, votes, "ridge", split=Split(train, empty, empty), alpha=1000.0)
        heads[name] = dataclasses.replace(fractions, familiarity=heads[like].familiarity)
        said = fractions.predict(of.select(scored)).probabilities
        error = float(np.sqrt(np.nanmean((said - votes.select(scored).values) ** 2)))
        figures["votes_rmse, eight views" if dihedral else "votes_rmse"] = error
    chosen.output.mkdir(parents=True, exist_ok=True)
    figures["bytes"] = {
        name: each.write(chosen.output / f"{name}.skops").stat().st_size
        for name, each in heads.items()
    }
    (chosen.output / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


def measured(
    head: Head,
    training: EmbeddingTable,
    own: EmbeddingTable,
    chosen_on: EmbeddingTable,
    labels: Labels,
    unbiased: np.ndarray,
    others: EmbeddingTable,
    flagged: EmbeddingTable,
) -> dict[str, Any]:
    """Figures over halves of the own tenth: what is counted is never what calibrated."""
    whole = familiarity(training, np.concatenate([own.matrix, chosen_on.matrix]), others)
    kinds = np.array([name.rstrip("0123456789") for name in flagged.ids])
    held, total, own_flags, rows = np.zeros(6), np.zeros(6), [], []
    flags: dict[str, list[float]] = {kind: [] for kind in np.unique(kinds)}
    for seed in range(HALVES):
        order = np.random.default_rng(seed).permutation(own.ids)
        first, second = (own.select(part) for part in np.array_split(order, 2))
        known = familiarity(training, np.concatenate([first.matrix, chosen_on.matrix]), others)
        promised = with_promises(head, first, labels, known)
        own_flags.append((known.p_values(second.matrix) < LEVEL).mean())
        p = known.p_values(flagged.matrix) < LEVEL
        for kind in flags:
            flags[kind].append(float(p[kinds == kind].mean()))
        counted = np.intersect1d(second.ids, labels.ids)
        said, truth = promised.predict(second.select(counted)), labels.select(counted).codes
        inside = said.sets[np.arange(len(truth)), truth]
        held += np.bincount(truth, inside, 6)
        total += np.bincount(truth, minlength=6)
        size = said.sets.sum(1)
        rows.append(
            [size.mean(), (size == 1).mean(), size[truth < 5].mean(), (size[truth < 5] == 1).mean()]
        )
    # a galaxy is counted in about half of the rounds: the interval is that of the galaxies, not of
    # the counts
    n = np.bincount(labels.select(np.intersect1d(own.ids, labels.ids)).codes, minlength=6)
    share = held / total
    intervals = [
        clopper_pearson(np.float64(round(s * m)), np.float64(m), 0.95)
        for s, m in zip(share, n, strict=True)
    ]
    every = np.intersect1d(own.ids, labels.ids)
    p, truth = head.predict(own.select(every)).probabilities, labels.select(every).codes
    five = p[:, :5] / p[:, :5].sum(1, keepdims=True)
    clean, draw = truth < 5, np.isin(every, unbiased)
    return {
        "galaxies": {name: int(m) for name, m in zip(CLASSES, n, strict=True)},
        "accuracy_of_five": float((five[clean].argmax(1) == truth[clean]).mean()),
        "auroc_none": {name: float(roc_auc_score(truth[w] == 5, p[w, 5])) for name, w in
                       (("own tenth", truth >= 0), ("unbiased", draw))},
        "auroc_one_minus_max": {
            name: float(roc_auc_score(truth[w] == 5, 1 - five[w].max(1))) for name, w in
                                (("own tenth", truth >= 0), ("unbiased", draw))},
        "covered": float(held.sum() / total.sum()),
        "covered_per_class": {name: [float(s), *map(float, i)] for name, s, i in
                              zip(CLASSES, share, intervals, strict=True)},
        "set_size, single, of clean galaxies": np.mean(rows, 0).tolist(),
        "own tenth flagged": float(np.mean(own_flags)),
        "flagged by the packaged head": {
            kind: float((whole.p_values(flagged.matrix)[kinds == kind] < LEVEL).mean())
            for kind in flags
        },
        "flagged, half of the own tenth calibrating": {
            kind: float(np.mean(values)) for kind, values in flags.items()},
    }  # fmt: skip


if __name__ == "__main__":
    main()
