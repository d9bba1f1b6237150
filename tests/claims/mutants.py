"""Mutants: the package with one promise broken; the promise's claim must fail on each. Not part of
CI.

    python tests/claims/mutants.py           # all; rewrites the table of tests/claims/README.md
    python tests/claims/mutants.py decoding  # those whose name or file has the word; no table

A mutant is a copy of the package in which one piece of text is replaced. It is killed when a test
of its claim fails by an assertion or by an error that the package means to raise, and survives when
all pass. Before that the same claims must pass on a copy as it is: else a failure would say
nothing. Text that is not found exactly once, and a mutant that fails by any other error (it may not
even be Python), end the script: neither says anything about a claim.

Exit code 0: all killed; 1: a mutant survives; 2: the script could not judge.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
README = HERE / "README.md"
BEGIN, END = "<!-- table of mutants -->", "<!-- end of the table -->"


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One promise broken.

    Parameters
    ----------
    promise : str
        What is broken, in a few words.
    file : str
        Module, below the package.
    old, new : str
        Text that is replaced, there exactly once, and what stands in its place.
    claim : str
        File of the claims that must fail, below `tests/claims`.
    """

    promise: str
    file: str
    old: str
    new: str
    claim: str


MUTANTS = (
    Mutant(
        "pairs of methods are not corrected for their number",
        "evaluation/family.py",
        "return corrected, single, error",
        "return single, single, error",
        "test_comparison_family.py",
    ),
    Mutant(
        "the spread of seeds is not counted",
        "evaluation/family.py",
        "_signed_means(mean, resamples, rng) + _seed_means(values, variance, resamples, rng)",
        "_signed_means(mean, resamples, rng)",
        "test_comparison_family.py",
    ),
    Mutant(
        "threshold of class sets one rank too high",
        "evaluation/conformal_sets.py",
        "true[allowed - 1]",
        "true[allowed]",
        "test_class_sets.py",
    ),
    Mutant(
        "threshold of class sets one rank too low",
        "evaluation/conformal_sets.py",
        "return float(true[allowed - 1]) if allowed else 0.0",
        "return float(true[allowed - 2]) if allowed > 1 else 0.0",
        "test_class_sets.py",
    ),
    Mutant(
        "interval of the calibration error laid around the measured one, noise and all",
        "evaluation/statistics/calibration_error.py",
        "    return low, np.minimum(high, 1)\n",
        "    low, high = measured - 1.645 * np.sqrt(still[1]), measured + 1.645 * "
        "np.sqrt(still[1])\n"
        "    return np.maximum(low, 0), np.minimum(high, 1)\n",
        "test_intervals.py",
    ),
    Mutant(
        "calibration error keeps what noise adds to it",
        "evaluation/statistics/calibration_error.py",
        "    return np.where(larger(none), _edge(none, measured + 1e-12, larger), 0.0)\n",
        "    return measured\n",
        "test_intervals.py",
    ),
    Mutant(
        "tuning that ignores groups",
        "heads/tune.py",
        "folds_of(strata[kept], kept_groups, FOLDS, seed)",
        "folds_of(strata[kept], None, FOLDS, seed)",
        "test_tuning_groups.py",
    ),
    Mutant(
        "calibration share with a fixed seed",
        "heads/estimators/calibrated.py",
        "max(2, round(1 / self.share)), self.seed)",
        "max(2, round(1 / self.share)), 0)",
        "test_calibration_folds.py",
    ),
    Mutant(
        "calibration folds with a fixed seed",
        "heads/estimators/calibrated.py",
        "folds_of(codes, groups, 5, self.seed)",
        "folds_of(codes, groups, 5, 0)",
        "test_calibration_folds.py",
    ),
    Mutant(
        "images decoded ahead of the network without limit",
        "networks/extraction/jobs/job.py",
        "ahead(decoders, self._network_input, todo.tolist(), 64 + 4 * self.workers)",
        "ahead(decoders, self._network_input, todo.tolist(), 10**9)",
        "test_decoding_ahead.py",
    ),
    Mutant(
        "batches waiting for the network without limit",
        "networks/extraction/jobs/job.py",
        "ahead(workers, partial(_vectors, engine), batches, engine.workers + 1)",
        "ahead(workers, partial(_vectors, engine), batches, 10**9)",
        "test_decoding_ahead.py",
    ),
    Mutant(
        "2 negative samples per edge of the layout, not 5",
        "maps/layout.py",
        "REPELLED = 5\n",
        "REPELLED = 2\n",
        "test_map_layout.py",
    ),
    Mutant(
        "familiarity_p leaves the galaxy itself out",
        "unlabelled/familiarity.py",
        "return self._p_values(matrix, 1)",
        "return self._p_values(matrix, 0)",
        "test_familiarity.py",
    ),
    Mutant(
        "unfamiliar calibration galaxies do not count as missed",
        "evaluation/conformal_sets.py",
        "true = np.where(predictions.unfamiliar, 0.0, true)",
        "true = np.where(predictions.unfamiliar, true, true)",
        "test_familiarity.py",
    ),
    Mutant(
        "class sets keep their thresholds if more of them are empty",
        "evaluation/conformal_sets.py",
        "parts = tuple(np.sort(np.where(p < level, 0.0, fits)) for fits, p in columns)",
        "parts = self.scores",
        "test_class_sets.py",
    ),
    Mutant(
        "the most probable class can be outside the class set",
        "evaluation/conformal_sets.py",
        "        members[np.arange(len(predictions)), predictions.codes] = True\n",
        "",
        "test_class_sets.py",
    ),
    Mutant(
        "a split parts galaxies with one image",
        "features/table.py",
        "return Grouping().joined(SAME_FILE, key_groups(self.ids, self.file_keys))",
        "return Grouping().joined(SAME_FILE, {})",
        "test_no_galaxy_is_parted.py",
    ),
    Mutant(
        "a split parts galaxies at one place of the sky",
        "galaxies/splits/related_galaxies.py",
        '        return self.joined(f"lie within {arcsec:g} arcsec of one another", neighbours)\n',
        "        return self\n",
        "test_no_galaxy_is_parted.py",
    ),
    Mutant(
        "a split depends on the order of class names",
        "galaxies/labels/labels.py",
        "by_name[self.codes]",
        "self.codes",
        "test_a_split_is_of_galaxies_not_of_words.py",
    ),
    Mutant(
        "the split kept beside the labels is not gone on with",
        "galaxies/splits/split_file.py",
        "only_train=only_train, kept=before, seed=seed)",
        "only_train=only_train, kept=None, seed=seed)",
        "test_set_aside_stays_set_aside.py",
    ),
    Mutant(
        "class shares are estimated from galaxies trained on, too",
        "unlabelled/priors.py",
        "for mask in (predictions.seen, predictions.unfamiliar):",
        "for mask in (predictions.unfamiliar,):",
        "test_shift.py",
    ),
    Mutant(
        "class shares are estimated from unfamiliar galaxies, too",
        "unlabelled/priors.py",
        "for mask in (predictions.seen, predictions.unfamiliar):",
        "for mask in (predictions.seen,):",
        "test_shift.py",
    ),
    Mutant(
        "the winner's interval does not know that it was chosen",
        "evaluation/winner.py",
        "chosen.append(on_left[np.arange(len(drawn)), best])",
        "chosen.append(on_drawn.max(1))",
        "test_winner.py",
    ),
    Mutant(
        "panels are redrawn from the fractions as they were seen",
        "evaluation/repeatability.py",
        "rng.standard_gamma(shares * sizes[:, None] + prior) + 1e-12",
        "shares + 1e-12",
        "test_vote_ceiling.py",
    ),
    Mutant(
        "a volume is called complete half a magnitude too deep",
        "galaxies/splits/completeness.py",
        "np.interp(limit - MAGNITUDES[1], modulus, grid)",
        "np.interp(limit + 0.5 - MAGNITUDES[1], modulus, grid)",
        "test_completeness.py",
    ),
    Mutant(
        "galaxies claimed by two rules become none-of-these",
        "galaxies/labels/classes_from_votes.py",
        "claims = np.column_stack([claims, claimants == 0])",
        "claims = np.column_stack([claims & (claimants == 1)[:, None], claimants != 1])",
        "test_galaxies_of_no_class.py",
    ),
    Mutant(
        "unfamiliar galaxies that calibrate a network do not count as missed",
        "networks/inference/output_calibration.py",
        "scored = dataclasses.replace(scored, familiarity=p, unfamiliar=p < LEVEL)",
        "scored = dataclasses.replace(scored, familiarity=p, unfamiliar=p < 0)",
        "test_what_a_network_promises.py",
    ),
    Mutant(
        "a network calibrates by its training galaxies",
        "networks/inference/output_calibration.py",
        "familiarity, notes = _familiarity(training, features)",
        "familiarity, notes = _familiarity(training, training)",
        "test_what_a_network_promises.py",
    ),
    Mutant(
        "class sets of a network are set by probabilities as sure as it said",
        "networks/inference/output_calibration.py",
        "sets = Conformal.of(scored, labels)",
        "sets = Conformal.of(kept_out, labels)",
        "test_what_a_network_promises.py",
    ),
    Mutant(
        "a head of one's own does not know the pictures it was trained on",
        "heads/fit.py",
        "        pictures=first.pictures[trained_rows],\n",
        "",
        "test_what_was_seen_is_known_by_its_picture.py",
    ),
    Mutant(
        "a look-alike on the other side of the split is refused as trained on",
        "features/trained_on.py",
        "return dataclasses.replace(self, pictures=self.pictures[~alike])",
        "return dataclasses.replace(self, pictures=self.pictures[alike | ~alike])",
        "test_what_was_seen_is_known_by_its_picture.py",
    ),
    Mutant(
        "a column that is a copy of the label is not named",
        "heads/label_leaks.py",
        "if score < SURE:",
        "if score <= 1:",
        "test_a_column_that_defines_the_label_is_named.py",
    ),
    Mutant(
        "an explanation is the brightness of the image",
        "networks/saliency/attribution.py",
        "METHODS[method](question).detach()",
        "question.image[0].mean(0)",
        "test_explanations_point_at_the_reason.py",
    ),
    Mutant(
        "an explanation is that of another class than the one asked for",
        "networks/saliency/attribution.py",
        "codes = np.broadcast_to(np.asarray(target), len(images))",
        "codes = np.broadcast_to(np.asarray(0), len(images))",
        "test_explanations_point_at_the_reason.py",
    ),
    Mutant(
        "an audit forgets what morphology tells of a nuisance",
        "audit/probes/probe.py",
        "straight = standardised(morphology)",
        "straight = standardised(rng.normal(size=morphology.shape))",
        "test_audit_nuisances.py",
    ),
    Mutant(
        "the level of an audit is not shared by its nuisances",
        "audit/probes/probe.py",
        "if probes[number].p * (len(probes) - place) > LEVEL:",
        "if probes[number].p > LEVEL:",
        "test_audit_nuisances.py",
    ),
)


FAILED = re.compile(r"^FAILED \S+?\.py::(\w+)\S* - (.*)$", re.MULTILINE)
"""Test and reason in pytest's short summary."""
MEANT = ("assert ", "AssertionError", "Failed: ", "gzfeatures.errors.")
"""How the reason begins where a promise was found broken."""


class Unjudged(Exception):
    """The script cannot say whether a claim holds."""


def copied(into: Path, mutant: Mutant | None) -> Path:
    """A copy of the package in a folder, mutated if so wanted; the folder is handed back."""
    shutil.copytree(
        ROOT / "gzfeatures", into / "gzfeatures", ignore=shutil.ignore_patterns("__pycache__")
    )
    if mutant is not None:
        path = into / "gzfeatures" / mutant.file
        text = path.read_text(encoding="utf-8")
        if text.count(mutant.old) != 1:
            raise Unjudged(
                f"{mutant.file} has the text {text.count(mutant.old)} times, not once: "
                f"{mutant.old!r}"
            )
        path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    return into


def failing(folder: Path, *claims: str) -> str | None:
    """The first test of claims that fails on the package in a folder; None where all pass."""
    # a safe path leaves out the working folder, in which the package as it is lies; without CI,
    # pytest cuts reasons to the width of a terminal
    own = {
        "PYTHONPATH": str(folder),
        "PYTHONSAFEPATH": "1",
        "OMP_NUM_THREADS": "1",
        "CI": "true",
    }
    how = {"cwd": ROOT, "env": {**os.environ, **own}, "capture_output": True, "text": True}
    told = subprocess.run(
        [sys.executable, "-c", "import gzfeatures; print(gzfeatures.__file__)"], check=True, **how
    )
    if not Path(told.stdout.strip()).is_relative_to(folder):
        raise Unjudged(
            f"the copy in {folder} is not the package that is imported, but {told.stdout.strip()}"
        )
    files = [str(next(HERE.rglob(claim))) for claim in claims]
    alone = ["-n", "0", "-q", "-x", "-p", "no:cacheprovider"]
    found = subprocess.run([sys.executable, "-m", "pytest", *alone, *files], **how)
    if found.returncode == 0:
        return None
    failed = FAILED.search(found.stdout)
    if found.returncode != 1 or failed is None or not failed[2].startswith(MEANT):
        raise Unjudged(f"pytest ended with {found.returncode}:\n{found.stdout}{found.stderr}")
    return failed[1]


def judged(mutants: tuple[Mutant, ...]) -> list[tuple[Mutant, str | None]]:
    """Each mutant, and the test that killed it, if any."""
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve()
        wrong = failing(
            copied(folder / "as-it-is", None), *sorted({mutant.claim for mutant in mutants})
        )
        if wrong is not None:
            raise Unjudged(f"a claim fails on the package as it is: {wrong}")
        for number, mutant in enumerate(mutants):
            start = time.perf_counter()
            killer = failing(copied(folder / str(number), mutant), mutant.claim)
            shutil.rmtree(folder / str(number))
            found.append((mutant, killer))
            print(f"{row(mutant, killer)}  {time.perf_counter() - start:.0f} s", flush=True)
    return found


def row(mutant: Mutant, killer: str | None) -> str:
    """A line of the table."""
    fate = "**survived**" if killer is None else f"killed by `{killer}`"
    return f"| {mutant.promise} | `{mutant.file}` | `{mutant.claim}` | {fate} |"


def write_table(found: list[tuple[Mutant, str | None]]) -> None:
    """Put the table into the README, between its two marks."""
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    lines = [
        "| promise broken | in | claim | mutant |",
        "|---|---|---|---|",
        *(row(*each) for each in found),
    ]
    table = "\n".join([BEGIN, "", *lines, "", summary(found), "", END])
    README.write_text(before + table + after, encoding="utf-8")


def summary(found: list[tuple[Mutant, str | None]]) -> str:
    """How many were killed."""
    return f"{sum(killer is not None for _, killer in found)} of {len(found)} killed."


def main(words: list[str]) -> int:
    """Judge the mutants that have all of the words in their promise, module or claim."""
    chosen = tuple(
        m for m in MUTANTS if all(word in f"{m.promise} {m.file} {m.claim}" for word in words)
    )
    try:
        if not chosen:
            raise Unjudged(f"no mutant has the words {' '.join(words)}")
        found = judged(chosen)
    except Unjudged as error:
        print(error, file=sys.stderr)
        return 2
    print(summary(found))
    if not words:
        write_table(found)
    return 1 if any(killer is None for _, killer in found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
