"""Measure what asked labels teach, with the real votes as the volunteer.

    gzfeatures extract votes.csv --images images/ -o table.parquet
    python experiments/teaching.py table.parquet --votes votes.csv -o runs/teaching/googlenet

Of the galaxies with votes one half is asked about and the other half scored, in 20 paired draws;
each campaign begins with one example of its kind, which is counted. `random` labels are uniform.
Of asked labels every fifth is set aside and trains nothing, as on the page; it is counted too. The
head, the queue and the vectors are those of the page (`gzfeatures.teaching`). A campaign that is
done is not done again: stop it and give the same command. `--refit` prints the milliseconds of a
refit at 10,000 galaxies, `--find` the nDCG@10 of eight words on the own tenth.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score

import gzfeatures as gz
from gzfeatures.experiment.prediction import answers_of
from gzfeatures.features.backbones import backbone
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.files import written_whole
from gzfeatures.galaxies.splits.split import digest_remainders
from gzfeatures.teaching.campaign import Answer, Campaign
from gzfeatures.teaching.logistic import OneAgainstRest
from gzfeatures.teaching.page_vectors import answers_of_page, page_vectors

KINDS = {
    "odd": ("Class6.1", 0.5),
    "mergers": ("Class8.6", 0.2),
    "bars": ("Class3.1", 0.3),
    "rings": ("Class8.1", 0.3),
}
WORDS = {
    "spiral": "Class4.1",
    "edge-on": "Class2.1",
    "odd": "Class6.1",
    "two arms": "Class11.2",
    "cigar": "Class7.3",
    "merger": "Class8.6",
    "bar": "Class3.1",
    "ring": "Class8.1",
}
NUMBERS = (10, 50, 100)
DRAWS = 20


def own_tenth(table: gz.EmbeddingTable) -> np.ndarray:
    """Which galaxies `googlenet-gz2` was never trained on, as in `packaged_heads.py`."""
    met = TrainedOn.joined([backbone("googlenet-gz2").trained_on]).contains(table.ids)
    seen = np.isin(table.ids, table.seen_ids)
    return ~met & ~seen & (digest_remainders(table.ids, 10) == 3)


def scored(
    vectors: np.ndarray, truth: np.ndarray, rows: np.ndarray, parts: dict[str, np.ndarray]
) -> dict[str, list[float]]:
    """AUROC and AP on each part of a head fitted to some rows."""
    if truth[rows].all() or not truth[rows].any():
        return {name: [0.5, float(truth[part].mean())] for name, part in parts.items()}
    head = OneAgainstRest.fit(vectors[rows], truth[rows].astype(np.int64), 2)
    p = head.probabilities(vectors)[:, 1]
    return {
        name: [
            float(roc_auc_score(truth[part], p[part])),
            float(average_precision_score(truth[part], p[part])),
        ]
        for name, part in parts.items()
    }


def asked(
    ids: np.ndarray, pool: np.ndarray, half: np.ndarray, truth: np.ndarray, start: int, seed: int
) -> dict[int, np.ndarray]:
    """Rows that train after so many answers of a campaign, the page's own."""
    campaign = Campaign(ids[pool], half[pool], seed)
    name = {True: "yes", False: "no"}
    first = int(np.flatnonzero(pool == start)[0])
    campaign.answer(first, Answer("yes", "user"))
    number, after = 1, {}
    while number < max(NUMBERS):
        for question in campaign.questions():
            label = name[bool(truth[pool[question.row]])]
            campaign.answer(question.row, Answer(label, question.asked, campaign.round))
            number += 1
            if number in NUMBERS:
                after[number] = pool[campaign.training]
        campaign.end_round()
    return after


def campaign_of(
    ids: np.ndarray, half: np.ndarray, truth: np.ndarray, own: np.ndarray, seed: int
) -> dict[str, dict[str, list[float]]]:
    """Scores of one paired draw: random and asked labels of one pool, from one example."""
    draw = np.random.default_rng(seed)
    order = draw.permutation(len(ids))
    pool, test = order[: len(ids) // 2], order[len(ids) // 2 :]
    parts = {"all": test, "own tenth": test[own[test]]}
    vectors = half.astype(np.float64)
    start = pool[truth[pool]][0]
    others = draw.permutation(pool[pool != start])
    result = {}
    for number in NUMBERS:
        rows = np.concatenate([[start], others[: number - 1]])
        result[f"random {number}"] = scored(vectors, truth, rows, parts)
    for number, rows in asked(ids, pool, half, truth, int(start), seed).items():
        result[f"asked {number}"] = scored(vectors, truth, rows, parts)
    result["all"] = scored(vectors, truth, pool, parts)
    return result


def summary(done: dict[str, dict[str, dict[str, list[float]]]]) -> pd.DataFrame:
    """Means over draws with 90 % intervals of the mean, by kind, labels and part."""
    rows = []
    for kind in KINDS:
        draws = [each for key, each in done.items() if key.startswith(f"{kind} ")]
        for labels in draws[0] if draws else ():
            for part in draws[0][labels]:
                values = np.asarray([each[labels][part] for each in draws])
                reach = 1.729 * values.std(0, ddof=1) / np.sqrt(len(values))
                row = {"kind": kind, "labels": labels, "part": part, "draws": len(values)}
                for i, name in enumerate(("AUROC", "AP")):
                    row[name], row[f"{name} ±"] = values[:, i].mean(), reach[i]
                rows.append(row)
    return pd.DataFrame(rows)


def found(table: gz.EmbeddingTable, votes: pd.DataFrame) -> pd.DataFrame:
    """nDCG@10 of words on the own tenth, with 90 % intervals from redrawn galleries."""
    part = table.select(table.ids[own_tenth(table) & np.isin(table.ids, votes.index)])
    rows = []
    for word, column in WORDS.items():
        score = gz.find(part, word, None).set_index("galaxy_id")["score"]
        gain = votes.loc[score.index, column].to_numpy()
        draw = np.random.default_rng(0)
        again = []
        for _ in range(1000):
            chosen = np.sort(draw.integers(0, len(gain), len(gain)))
            again.append(ndcg(gain[chosen]))
        low, high = np.quantile(again, [0.05, 0.95])
        rows.append({"word": word, "nDCG@10": ndcg(gain), "low": low, "high": high})
    return pd.DataFrame(rows)


def ndcg(gain: np.ndarray, k: int = 10) -> float:
    """Discounted gain of the first k of a ranking, as a share of the best one's."""
    weight = 1 / np.log2(np.arange(k) + 2)
    return float((gain[:k] * weight).sum() / (np.sort(gain)[::-1][:k] * weight).sum())


def refit(table: gz.EmbeddingTable, page: Path) -> None:
    """Print the milliseconds of refits at 10,000 galaxies in Chromium, with 100 labels."""
    import sys
    import tempfile

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
    from browser import Browser

    from gzfeatures.maps.map_page import MapPage

    draw = np.random.default_rng(0)
    rows = draw.integers(0, len(table), 10_000)
    matrix = table.matrix[rows] + draw.normal(0, 0.01, (10_000, table.matrix.shape[1]))
    ids = np.asarray([f"g{i}" for i in range(10_000)], dtype=object)
    vectors = matrix.astype(np.float32)
    MapPage(ids, vectors[:, :2], vectors, {"backbone": "page"}, {}).write(page)
    with tempfile.TemporaryDirectory() as folder:
        chromium = Browser(Path(folder))
        try:
            chromium.open(page)
            chromium.until("return document.body.dataset.drawn")
            script = (
                "return (async () => { const all = []; for (let i = 0; i < 100; i++) {"
                "await teach.label([i * 97], 'abc'[i % 3]); all.push(+document.body.dataset.refit);"
                "} return all; })()"
            )
            times = np.asarray(chromium.run(script))
        finally:
            chromium.close()
    print(f"refit at 10,000 galaxies: median {np.median(times):.0f} ms, worst {times.max():.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("table", type=Path, help="embedding table of galaxies with votes")
    parser.add_argument("--votes", type=Path, required=True, help="Kaggle vote fractions")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for results")
    parser.add_argument("--find", action="store_true", help="measure the search by words alone")
    parser.add_argument("--refit", action="store_true", help="measure refits in Chromium alone")
    chosen = parser.parse_args()
    chosen.output.mkdir(parents=True, exist_ok=True)
    votes = pd.read_csv(chosen.votes, dtype={"GalaxyID": str}).set_index("GalaxyID")
    table = gz.EmbeddingTable.read(chosen.table)
    if chosen.refit:
        return refit(table, chosen.output / "page.html")
    if chosen.find:
        words = found(table, votes)
        print(words.round(3).to_string(), f"\nmean {words['nDCG@10'].mean():.3f}")
        return None
    table = table.select(table.ids[np.isin(table.ids, votes.index)])
    own = own_tenth(table)
    half = page_vectors(table.matrix, answers_of_page(table.ids, answers_of(table)))
    file = chosen.output / "campaigns.json"
    done = json.loads(file.read_text()) if file.exists() else {}
    start = time.perf_counter()
    for seed in range(DRAWS):
        for kind, (column, least) in KINDS.items():
            if (key := f"{kind} {seed}") in done:
                continue
            truth = votes.loc[table.ids, column].to_numpy() >= least
            done[key] = campaign_of(table.ids, half, truth, own, seed)
            with written_whole(file) as temporary:
                temporary.write_text(json.dumps(done))
        print(f"draw {seed + 1} of {DRAWS}, {time.perf_counter() - start:.0f} s", flush=True)
    result = summary(done)
    result.to_csv(chosen.output / "summary.csv", index=False)
    print(result.round(3).to_string())
    return None


if __name__ == "__main__":
    main()
