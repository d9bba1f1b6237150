"""Convert compared models and reports to MLflow's tags, metrics, parameters and UI columns."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from gzfeatures.brief import IN_UNITS, number_text
from gzfeatures.evaluation.metrics import LOWER_IS_BETTER, headline
from gzfeatures.evaluation.statistics.training_state import RISING, WORDS, is_rising
from gzfeatures.figures.style import short
from gzfeatures.report.report import escape_markdown as escaped
from gzfeatures.report.texts import flat
from gzfeatures.tracking._compat_mlflow import DATASET_CONTEXT

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from gzfeatures.evaluation.candidate import Candidate
    from gzfeatures.evaluation.rows import RankedRow
    from gzfeatures.report.report import Report
    from gzfeatures.tracking.records import CandidateRecord

T = TypeVar("T")

PARAMETER_LIMIT = 6000
"""Largest number of characters of an MLflow parameter; `pairing.json` of the run has all."""
CARD_SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece", "rmse", "bias")
"""Scores that the description (model card) of a registered model shows, with their intervals."""
COLUMNS = ("1 interval", "2 tied", "3 seconds", "4 backbone", "5 head")
"""Tags shown beside the score in MLflow's list of runs, in this order."""
METRICS_PER_BATCH, PARAMETERS_PER_BATCH = 1000, 100
"""Largest number of metrics and of parameters that MLflow accepts in one request."""


def name_of(text: str) -> str:
    """Convert a text to a name that MLflow accepts: letters, digits, `_`, `-` and spaces."""
    return re.sub(r"[^\w -]+", "-", text)[:200].strip(" -") or "unnamed"


def model_name(experiment: str, candidate: Candidate | RankedRow) -> str:
    """Return the name under which MLflow registers a compared model."""
    words = (experiment, candidate.backbone, candidate.head, candidate.approach)
    return name_of(" ".join(word for word in words if word))


def tags(experiment: str, candidate: Candidate) -> dict[str, str]:
    """Return the MLflow tags by which the run of a compared model can be searched."""
    return {
        "kind": "pairing",
        "experiment": experiment,
        "road": candidate.approach,
        "backbone": candidate.backbone,
        "head": candidate.head or "none",
        "scheme": candidate.scheme,
        "split": candidate.split,
        "seed": str(candidate.seed),
        "fair": "no" if candidate.contaminated else "yes",
    }


def metrics(candidate: Candidate) -> dict[str, float]:
    """Return a compared model's scores, times and costs by metric name, for MLflow."""
    scores = candidate.scores
    numbers = dict(scores.metrics)
    for name, (low, high) in scores.intervals.items():
        numbers |= {f"{name}_low": low, f"{name}_high": high}
    for entry in scores.per_class:
        class_name = name_of(entry["class"])
        numbers |= {
            f"{name}/{class_name}": entry[name]
            for name in ("precision", "recall", "f1", "answer_rmse")
            if name in entry
        }
    # MLflow's UI plots one metric over all runs: make the accuracy in each bin a metric of its own,
    # named after the limits of the bin
    for quantity, rows in {"agreement": scores.agreement, **scores.slices}.items():
        for row in rows:
            numbers[f"slices/{quantity} {row.low:.3g} to {row.high:.3g}"] = row.accuracy
    numbers |= {
        f"volunteers/{name}": value
        for name, value in (scores.ceiling or {}).items()
        if name not in ("n", "assumed")
    }
    numbers |= {f"{step}_seconds": seconds for step, seconds in candidate.seconds.items()}
    numbers["end_to_end_seconds"] = sum(candidate.seconds.values())
    numbers |= {f"cost/{name}": value for name, value in candidate.cost.items()}
    # leave out NaN and infinity, which MLflow's UI cannot plot. Round the numbers, because the UI
    # shows all digits; `pairing.json` has the exact numbers
    return {name: rounded(value) for name, value in numbers.items() if math.isfinite(value)}


def rounded(value: float) -> float:
    """Round a number to 4 significant digits; whole numbers stay unchanged.

    Examples
    --------
    >>> rounded(0.9520123), rounded(1234567), rounded(-0.000123456)
    (0.952, 1234567.0, -0.0001235)
    """
    return float(value) if float(value).is_integer() else float(f"{value:.4g}")


def parameters(candidate: Candidate) -> dict[str, Any]:
    """Return a compared model's settings, backbone, head and seed as MLflow parameters."""
    named = {
        "road": candidate.approach,
        "backbone": candidate.backbone,
        "head": candidate.head or "none",
        "seed": candidate.seed,
    }
    return dict(flat(candidate.parameters)) | named


def summary_line(candidate: Candidate) -> str:
    """Return the scores of a compared model as one line of Markdown."""
    names = {name: number_text(value, name) for name, value in candidate.scores.metrics.items()}
    for name, (low, high) in candidate.scores.intervals.items():
        names[name] += f" ({number_text(low, name)} to {number_text(high, name)})"
    scores = ", ".join(f"{name.replace('_', ' ')} {text}" for name, text in names.items())
    seconds = f"{sum(candidate.seconds.values()):,.1f} s"
    of_one = headline(candidate.scores.kind) not in IN_UNITS
    rising = is_rising(candidate.curve, of_one=of_one)
    state = f"; untrained: {WORDS[RISING]}" if rising else ""
    return f"{scores}; {candidate.scores.n:,} test galaxies, {seconds}{state}"


def _bounds_text(metrics: Mapping[str, float], name: str) -> str:
    """Return the interval of a recorded score in brackets; "" if it has none."""
    if f"{name}_low" not in metrics:
        return ""
    low, high = (number_text(metrics[f"{name}_{end}"], name) for end in ("low", "high"))
    return f" ({low} to {high})"


def model_card(record: CandidateRecord) -> str:
    """Return a description of a registered model for its users, as Markdown."""
    tags, reads = record.tags, "images" if record.is_network else "embeddings or images"
    way = {
        "frozen": "a head on a backbone that was trained elsewhere",
        "fine-tuned": "a head on a network that was trained on galaxies of this experiment",
        "end-to-end": "a network that was trained on galaxies of this experiment",
    }[tags["road"]]
    scores = {
        name.replace("_", " "): number_text(value, name) + _bounds_text(record.metrics, name)
        for name, value in record.metrics.items()
        if name in CARD_SCORES
    }
    fair = {} if tags["fair"] == "yes" else {"test": "not fair: the backbone may have seen it"}
    facts = {
        "what it is": way,
        "reads": reads,
        "predicts": ", ".join(record.classes),
        "labels": f"{tags['scheme']}, split {tags['split'][:12]}",
        "test galaxies": f"{json.loads(record.dataset['profile'])['galaxies']:,}",
        **scores,
        **fair,
    }
    rows = "\n".join(f"| {escaped(name)} | {escaped(text)} |" for name, text in facts.items())
    uses = (
        "Scores are of galaxies like those of the catalog: another survey, depth or colour may "
        "lower them. Try it: `mlflow models predict` with the input example, or "
        "`gzfeatures predict` with the head's file."
    )
    return f"| | |\n|---|---|\n{rows}\n\n{uses}\n"


def dataset(candidate: Candidate) -> dict[str, str]:
    """Return name, digest and size of a compared model's test galaxies, for an MLflow dataset."""
    profile = {
        "galaxies": len(candidate.predictions),
        "classes": list(candidate.predictions.classes),
    }
    return {
        "name": f"{candidate.scheme} test",
        "digest": candidate.split[:12],
        "source": json.dumps({"tags": {"split": candidate.split}}),
        "profile": json.dumps(profile),
    }


def log_dataset(client: MlflowClient, run: str, held: Mapping[str, str]) -> None:
    """Log the test galaxies of a run as an MLflow dataset."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    test = Dataset(held["name"], held["digest"], "code", held["source"], profile=held["profile"])
    client.log_inputs(run, [DatasetInput(test, [InputTag(DATASET_CONTEXT, "test")])])


def texts_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """Convert settings to texts for MLflow; a long text is cut and ends with an ellipsis."""
    return {
        name_of(name): short(
            value if isinstance(value, str) else json.dumps(value, default=str), PARAMETER_LIMIT
        )
        for name, value in settings.items()
    }


def _columns(report: Report) -> list[str]:
    """Return the columns that MLflow's list of runs shows."""
    return [f"metrics.`{report.comparison.metric}`", *(f"tags.`{name}`" for name in COLUMNS)]


def interval_text(row: RankedRow, metric: str) -> str:
    """Return a score's confidence interval as text for MLflow's list of runs."""
    ends = row.interval(metric)
    return "too few galaxies" if ends is None else " to ".join(number_text(x, metric) for x in ends)


def view(report: Report) -> str:
    """Return the columns and order in which MLflow's UI lists the compared models, as JSON text."""
    by = report.comparison.metric
    state = {
        "orderByKey": f"metrics.`{by}`",
        "orderByAsc": by in LOWER_IS_BETTER,
        "searchFilter": "tags.latest = 'yes'",
        "selectedColumns": _columns(report),
    }
    return json.dumps(
        {"name": "Ranking", "createdAt": int(time.time() * 1000), "state": json.dumps(state)}
    )


def log(
    client: MlflowClient,
    run: str,
    numbers: Mapping[str, float],
    settings: Mapping[str, Any],
    step: int = 0,
) -> None:
    """Log numbers and settings to an MLflow run in few requests; long settings are cut."""
    from mlflow.entities import Param

    log_points(client, run, [(name, value, step) for name, value in numbers.items()])
    texts = [Param(name, text) for name, text in texts_of(settings).items()]
    for batch in in_batches(texts, PARAMETERS_PER_BATCH):
        client.log_batch(run, params=batch)


def log_points(client: MlflowClient, run: str, points: Iterable[tuple[str, float, int]]) -> None:
    """Log points of curves (metric, value, step) to an MLflow run in few requests."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    measured = [Metric(name, value, now, step) for name, value, step in points]
    for batch in in_batches(measured, METRICS_PER_BATCH):
        client.log_batch(run, metrics=batch)


def log_history(
    client: MlflowClient, run: str, history: Sequence[Mapping[str, Any]], after: int = 0
) -> None:
    """Log the losses and metrics of each training epoch as curves of an MLflow run.

    Parameters
    ----------
    client, run
        MLflow's client, and the id of the run.
    history : sequence of mapping
        Results of each epoch from the first; values that are no finite numbers are left out.
    after : int
        Number of epochs already logged.
    """
    log_points(
        client,
        run,
        [
            (f"epochs/{name_of(name)}", float(value), epoch)
            # skip the first `after` epochs, which were logged while the training ran
            for epoch, numbers in list(enumerate(history, 1))[after:]
            for name, value in numbers.items()
            if name != "epoch" and isinstance(value, (int, float)) and math.isfinite(value)
        ],
    )


def in_batches(entries: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Split a sequence into parts of at most `size` entries, and yield them."""
    for start in range(0, len(entries), size):
        yield entries[start : start + size]
