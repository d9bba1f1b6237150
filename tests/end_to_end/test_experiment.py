"""The whole recipe on a small synthetic survey: both roads, one split, one gate."""

from __future__ import annotations

import json
import pydoc
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from shortcuts.undrawn import undrawn

from gzfeatures.errors import InputError, LeakError, MissingFileError
from gzfeatures.evaluation.predictions import Predictions
from gzfeatures.experiment.config import Experiment, load
from gzfeatures.experiment.folder import read_candidates
from gzfeatures.experiment.run import Run, compare_runs, run
from gzfeatures.experiment.sample import load_sample
from gzfeatures.experiment.settings.approaches import NetworkChoice
from gzfeatures.experiment.steps.plan import told_apart
from gzfeatures.features.backbones import backbone
from gzfeatures.features.store import Store
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.galaxies.splits.label_file import read_labels, write_labels
from gzfeatures.galaxies.splits.split import Split, digest_remainders
from gzfeatures.heads.head import Head
from gzfeatures.images.decoding import decode_rgb
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.sources import folder as image_folder
from gzfeatures.maps.map import Map
from gzfeatures.networks.inference.probabilities import classify
from gzfeatures.synthetic.survey import MockSurvey, draw_survey
from gzfeatures.tracking import Tracking

TOML = """
name = "small"
[galaxies]
catalog = "{survey.catalog}"
images = "{survey.images}"
scheme = "q1-3class"
split = [0.6, 0.2, 0.2]
[[backbones]]
name = "resnet18"
weights = "none"
view = "size=32"
[[networks]]
name = "engel"
view = "size=32"
epochs = 1
[[heads]]
name = "logistic"
[[heads]]
name = "prototype"
"""


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> MockSurvey:
    return draw_survey(tmp_path_factory.mktemp("survey"), n=150, seed=5, size=64, progress=False)


@pytest.fixture(scope="module")
def toml(survey: MockSurvey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "small.toml"
    path.write_text(TOML.format(survey=survey))
    return path


@pytest.fixture(scope="module")
def touched() -> Counter[str]:
    """How often the run of `finished` read an image file, and how often a decoder opened one."""
    return Counter()


@pytest.fixture(scope="module")
def finished(
    toml: Path, tmp_path_factory: pytest.TempPathFactory, touched: Counter[str]
) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        count_touches(patch, touched)
        done = run(
            load(toml, ["explain=1"]), folder=folder, tracker=Tracking(root=folder / "mlruns")
        )
    yield done


@pytest.fixture(autouse=True)
def _undrawn(finished: Run) -> Iterator[None]:
    """The pictures of a run are drawn in `finished` alone."""
    with undrawn():
        yield


def count_touches(patch: pytest.MonkeyPatch, touched: Counter[str]) -> None:
    def counted(name: str, really: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            touched[name] += 1
            return really(*arguments, **options)

        return call

    patch.setattr(image_folder, "_file_bytes", counted("reads", image_folder._file_bytes))
    # a JPEG goes to libjpeg-turbo, or to Pillow where its headers ask for more
    patch.setattr(simplejpeg, "decode_jpeg", counted("decodes", simplejpeg.decode_jpeg))
    patch.setattr(decode_rgb, "picture", counted("decodes", decode_rgb.picture))


def test_a_run_reads_and_decodes_each_image_once(
    finished: Run, touched: Counter[str], survey: MockSurvey
) -> None:
    images = len(ImageSet.of(survey.images))
    assert 1 <= touched["reads"] / images <= 2.2
    assert 1 <= touched["decodes"] / images <= 1.3


def test_two_backbones_and_a_network_that_is_one_too_read_and_decode_each_image_once(
    survey: MockSurvey, toml: Path, tmp_path: Path
) -> None:
    # googlenet-gz2 knows the pictures that it was trained on: every picture is hashed too
    backbones = 'backbones=[{name="googlenet-gz2"}, {name="resnet18", weights="none"}]'
    network = 'networks=[{name="engel", view="size=32", epochs=1}]'
    changes = [backbones, "backbones.1.view=size=32", network, 'heads=[{name="logistic"}]']
    touched: Counter[str] = Counter()
    with pytest.MonkeyPatch.context() as patch:
        count_touches(patch, touched)
        done = run(
            load(toml, [*changes, "explain=1"]),
            folder=tmp_path / "run",
            store=Store(tmp_path / "store"),
        )
    names = {candidate.backbone for candidate in done.report.candidates if candidate.head}
    assert names == {"googlenet-gz2", "resnet18", "engel-q1-3class"}
    assert done.map is not None and list((done.folder / "figures").glob("showcase*"))
    images = len(ImageSet.of(survey.images))
    assert 1 <= touched["reads"] / images <= 2.2
    assert 1 <= touched["decodes"] / images <= 1.3


def test_every_pairing_is_scored_on_the_same_test_galaxies(finished: Run) -> None:
    report = finished.report
    expected = {
        (road, head) for road in ("fine-tuned", "frozen") for head in ("logistic", "prototype")
    }
    assert {(p.approach, p.head) for p in report.candidates} == expected | {("end-to-end", None)}
    for pairing in report.candidates:
        assert sorted(pairing.predictions.ids) == sorted(report.split.test)


def test_the_run_folder_is_self_contained(finished: Run) -> None:
    names = {path.name for path in finished.folder.iterdir()}
    assert names >= {
        "experiment.json",
        "labels.csv",
        "networks",
        "tables",
        "heads",
        "predictions",
        "report.html",
        "map.html",
    }
    labels, split = read_labels(finished.folder / "labels.csv")
    assert split is not None and split.fingerprint == finished.report.split.fingerprint
    assert finished.table is not None and len(EmbeddingTable.read(finished.table)) == len(labels)


def test_the_report_shows_the_map_and_explains_the_best_head_and_network(finished: Run) -> None:
    text = (finished.folder / "report.html").read_text(encoding="utf-8")
    best = next(p for _, p in finished.report.ranked if p.head)
    network = Path(best.backbone if best.approach == "frozen" else "00-engel").name
    for title in (
        "Map of the galaxies",
        f"Why {best.head} on {network} says so",
        "Why 00-engel says so",
    ):
        assert f">{title}</h2>" in text
    assert "nearest to the middle" in text and ": grad-cam, integrated-gradients</h3>" in text
    assert {path.name for path in (finished.folder / "figures").glob("showcase*")} == {
        f"showcase-0{number}.png" for number in (1, 2, 3)
    }


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")
def test_the_map_is_recorded_with_its_coordinates_and_quality(finished: Run) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(finished.tracking_uri)
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    (kept,) = client.search_runs([experiment.experiment_id], "tags.kind = 'comparison'")
    place = Path(client.download_artifacts(kept.info.run_id, "."))
    note = json.loads((place / "map.json").read_text(encoding="utf-8"))
    assert (
        note["galaxies"] == len(Map.read(place / "map.parquet"))
        and 0 < note["quality"]["trustworthiness"] <= 1
    )
    assert (place / "map.html").stat().st_size > 50_000
    assert {"map-points.png", "map-images.png"} <= {
        path.name for path in (place / "figures").iterdir()
    }


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")
def test_the_same_numbers_everywhere(finished: Run) -> None:
    from mlflow import MlflowClient

    ranking = {(r["road"], r["head"]): r["accuracy"] for r in finished.report.comparison.ranking}
    said = {(p["road"], p["head"]): p["accuracy"] for p in finished.asdict()["pairings"]}
    written = json.loads((finished.folder / "report.json").read_text())["ranking"]
    client = MlflowClient(finished.tracking_uri)
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.kind = 'pairing'")
    recorded = {
        (r.data.tags["road"], r.data.tags["head"]): r.data.metrics["accuracy"] for r in runs
    }
    assert said == ranking == {(r["road"], r["head"]): r["accuracy"] for r in written}
    assert recorded == pytest.approx(
        {(road, head or "none"): value for (road, head), value in ranking.items()},
        # MLflow is told four digits, which it shows
        rel=1e-3,
    )


def test_predictions_read_again_give_the_same_comparison(finished: Run) -> None:
    pairings, _, _ = read_candidates(finished.folder)
    assert {p.name: p.scores.accuracy for p in pairings} == {
        p.name: p.scores.accuracy for p in finished.report.candidates
    }
    said: list[str] = []
    compared = compare_runs([finished.folder], say=said.append)
    # a finished run does not hold the counts of volunteers
    assert len(said) == 1 and "assumes 40" in said[0]
    assert [r["accuracy"] for r in compared.ranking] == [
        r["accuracy"] for r in finished.report.comparison.ranking
    ]


def _lasting(value: Any) -> Any:
    """What a report says, without the seconds it took and the bytes of heads, which hold such
    seconds."""
    if isinstance(value, dict):
        return {
            key: _lasting(inner)
            for key, inner in value.items()
            if "second" not in key and key != "bytes"
        }
    return [_lasting(inner) for inner in value] if isinstance(value, list) else value


def test_a_run_folder_suffices_to_repeat_the_run(finished: Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished.folder, tmp_path / "run"))
    again = run(folder, folder=folder, store=Store(tmp_path / "store"), again=True)
    table = EmbeddingTable.read(finished.table)
    for before in sorted(finished.folder.rglob("*")):
        after = folder / before.relative_to(finished.folder)
        if "mlruns" in before.parts or before.is_dir():
            continue
        if before.name == "map.parquet":  # its quality says how long the map took
            assert (Map.read(after).coordinates == Map.read(before).coordinates).all()
        elif before.suffix in (".parquet", ".safetensors", ".csv"):
            assert after.read_bytes() == before.read_bytes(), before
        elif before.suffix == ".skops" and before.parent.name == finished.table.stem:
            one, other = (Head.read(path).predict(table).probabilities for path in (before, after))
            assert (one == other).all(), before
    for name in ("report.json", "pairings.json"):
        one, other = (json.loads((place / name).read_text()) for place in (finished.folder, folder))
        assert _lasting(one) == _lasting(other)
    assert {"python", "versions", "machine", "cores"} <= set(again.report.provenance)


def test_tables_side_by_side_and_heads_of_several_seeds(
    finished: Run, toml: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished.folder, tmp_path / "run")
    changes = [
        'heads=[{name="logistic", seeds=[0,1,2], parameters={class_weight={smooth=2.0}}}]',
        'joined=[{backbones=["resnet18"], networks=["engel"]}, '
        '{backbones=["resnet18"], columns=["Class9.1"]}]',
        "learning_curve=[20]",
        "networks.0.learning_curve=[30]",
        "map=false",
    ]
    done = run(
        load(toml, changes), folder=tmp_path / "run", tracker=Tracking(root=tmp_path / "mlruns")
    )
    made = {(p.approach, p.name, p.seed) for p in done.report.candidates}
    tuned = "engel-q1-3class"
    read_by_heads = {
        "resnet18": "frozen", tuned: "fine-tuned", f"resnet18 & {tuned}": "fine-tuned",
        "resnet18 & Class9.1": "frozen",
    }  # fmt: skip
    for name, road in read_by_heads.items():
        assert made >= {(road, f"{name} + logistic", seed) for seed in range(3)}
    assert len(made) == 13
    assert {(s["backbone"], s["seeds"]) for s in done.report.comparison.seeds} >= {
        ("resnet18 & Class9.1", 3)
    }
    curves = {name: [size for size, *_ in curve] for name, curve in done.report.curves.items()}
    whole = len(done.report.split.train)
    assert curves == {
        "engel": [30, whole],
        "resnet18 + logistic": [20, whole],
        f"{tuned} + logistic": [20, whole],
    }
    head = Head.read(tmp_path / "run" / "heads" / "joined-01" / "logistic-seed2.skops")
    assert head.columns == ("Class9.1",) and head.seed == 2 and head.sets is not None
    for pairing in done.report.candidates:
        if pairing.head is None:  # 31 validation galaxies are too few for sets of a network
            assert "sets" not in pairing.calibration and pairing.calibration["temperature"] > 0
            continue
        sets = pairing.calibration["sets"]
        assert sets["n"] == len(pairing.predictions) and 0 <= sets["reached"] <= 1
        assert ("before" in pairing.calibration) == (pairing.head is not None)
    network = next(p for p in done.report.candidates if p.head is None)
    assert network.cost["parameters"] == pytest.approx(759_779, rel=0.001)
    read, labels, _ = read_candidates(tmp_path / "run")
    known = {(p.approach, p.name, p.seed): p.calibration for p in done.report.candidates}
    assert {(p.approach, p.name, p.seed): p.calibration for p in read} == known
    assert labels.soft is not None and read[0].scores.ceiling == pytest.approx(
        done.report.candidates[0].scores.ceiling
    )


def test_what_tuning_tried_is_kept_with_its_run(finished: Run, toml: Path, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    shutil.copytree(finished.folder, tmp_path / "run")
    changes = ['heads=[{name="prototype", tune=true}]', "map=false", "explain=0"]
    done = run(
        load(toml, changes), folder=tmp_path / "run", tracker=Tracking(root=tmp_path / "mlruns")
    )
    client = MlflowClient(done.tracking_uri)
    runs = client.search_runs(
        [client.get_experiment_by_name("small").experiment_id], "tags.kind = 'pairing'"
    )
    kept = {
        r.data.tags["head"]: {file.path for file in client.list_artifacts(r.info.run_id)}
        for r in runs
    }
    assert {head: "prototype-trials.png" in files for head, files in kept.items()} == {
        "prototype": True,
        "none": False,
    }
    run(
        load(toml, ['heads=[{name="prototype"}]', "map=false", "explain=0"]),
        folder=tmp_path / "run",
    )
    assert not list((tmp_path / "run").rglob("*-trials.png"))


def test_a_checkpoint_predicts_as_its_training_did(finished: Run, survey: MockSurvey) -> None:
    folder = finished.folder / "networks" / "00-engel"
    kept = Predictions.read(folder / "predictions.parquet").select(finished.report.split.test)
    said = classify(ImageSet.of(survey.images, kept.ids), folder, progress=False)
    np.testing.assert_allclose(said.probabilities, kept.probabilities, atol=1e-6)
    assert said.classes == kept.classes and not said.seen.any()
    trained = classify(
        ImageSet.of(survey.images, finished.report.split.train[:2]), folder, progress=False
    )
    assert trained.seen.all()


def test_changing_only_heads_loads_no_network_and_reads_no_image(
    finished: Run, toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gzfeatures.networks.models import load as loading

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("touched")

    monkeypatch.setattr(ImageSet, "read", refuse)
    monkeypatch.setattr(loading, "load", refuse)
    monkeypatch.setattr(loading, "read_tensors", refuse)
    changed: Experiment = load(toml, ['heads=[{name="knn"}]', "map=false"])
    monkeypatch.setattr("gzfeatures.report.report.Report.write", lambda self, folder, **_: folder)
    again = run(changed, folder=finished.folder)
    assert {p.head for p in again.report.candidates} == {"knn", None}
    assert again.report.split.fingerprint == finished.report.split.fingerprint


def test_galaxies_that_only_train_stay_out_of_the_test_side(
    survey: MockSurvey, toml: Path, tmp_path: Path
) -> None:
    more = draw_survey(tmp_path / "more", n=30, seed=6, size=64, progress=False)
    for path in more.images.iterdir():
        path.rename(path.with_name(f"9{path.name}"))
    text = more.catalog.read_text().splitlines()
    more.catalog.write_text("\n".join([text[0], *(f"9{line}" for line in text[1:])]))
    copied = sorted(survey.images.iterdir())[0]
    first = sorted(more.images.iterdir())[0]
    first.write_bytes(copied.read_bytes())  # the picture of a galaxy of the main catalog
    source = f'galaxies.training_only=[{{catalog="{more.catalog}", images="{more.images}"}}]'
    settings = load(toml, [source, "networks=[]", "map=false", 'heads=[{name="prototype"}]'])
    split = run(settings, folder=tmp_path / "run").report.split
    added = {name for name in split.ids if name.startswith("9")}
    assert added and added <= set(split.train)
    assert first.stem not in added


def test_a_second_target_brings_galaxies_that_a_split_by_digest_leaves_free(
    survey: MockSurvey, toml: Path, tmp_path: Path
) -> None:
    lines = survey.catalog.read_text().splitlines()
    (tmp_path / "first.csv").write_text("\n".join(lines[:60]))
    catalog, votes = tmp_path / "first.csv", survey.catalog
    rule = "galaxies.split={of=10, test=[3, 4, 5], validation=[7]}"
    changed = [rule, f"galaxies.catalog={catalog}", f"galaxies.also.catalog={votes}"]
    settings = load(toml, [*changed, "map=false", "explain=0"])
    group = load_sample(settings.galaxies, 0, tmp_path)
    assert group.auxiliary_labels is not None and group.auxiliary_labels.scheme == "votes-37"
    more = set(group.auxiliary_labels.ids) - set(group.labels.ids)
    assert more and set(group.images.ids) == more | set(group.labels.ids)
    assert not set(digest_remainders(np.array(sorted(more)), 10)) & {3, 4, 5, 7}
    assert set(digest_remainders(group.split.test, 10)) == {3, 4, 5}
    training = run(settings, folder=tmp_path / "run")
    seen = TrainedOn.decode(backbone(tmp_path / "run" / "networks" / "00-engel").trained_on or "")
    assert seen.contains(sorted(more)).all() and not seen.contains(training.report.split.test).any()


@pytest.mark.parametrize(
    "moment",
    [
        "gzfeatures.images.image_set.ImageSet.digests",
        "gzfeatures.networks.extraction.extract.write_table",
    ],
)
def test_an_image_that_changes_during_a_run_ends_it_and_leaves_no_table(
    survey: MockSurvey, toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    images = Path(shutil.copytree(survey.images, tmp_path / "images"))
    first, second, *_ = sorted(images.iterdir())
    owner, _, name = moment.rpartition(".")
    step = getattr(pydoc.locate(owner), name)

    def step_beside_a_change(*given: object, **named: object) -> object:
        done = step(*given, **named)
        first.write_bytes(second.read_bytes())
        return done

    settings = load(
        toml,
        [f"galaxies.images={images}", "networks=[]", "map=false", 'heads=[{name="prototype"}]'],
    )
    with monkeypatch.context() as patch:
        patch.setattr(moment, step_beside_a_change)
        with pytest.raises(
            InputError, match=r"changed or removed while it was in use.*call the same again"
        ):
            run(settings, folder=tmp_path / "run", store=Store(tmp_path / "store"))
    assert (
        not list((tmp_path / "run").glob("tables/*"))
        and not list((tmp_path / "run").glob("images-*.json"))[1:]
    )
    done = run(settings, folder=tmp_path / "run", store=Store(tmp_path / "store"))
    assert (
        done.table is not None
        and ImageSet.of(first).digest(0) in EmbeddingTable.read(done.table).digests
    )


def test_missing_images_stop_the_run_or_are_listed(
    survey: MockSurvey, toml: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    paths = sorted(survey.images.iterdir())
    for path in paths[2:]:
        (images / path.name).write_bytes(path.read_bytes())
    (images / paths[0].name).write_bytes(paths[0].read_bytes()[:200])
    changed = [
        f"galaxies.images={images}",
        "networks=[]",
        "map=false",
        'heads=[{name="prototype"}]',
    ]
    with pytest.raises(InputError, match=r"images are missing or broken.*on_bad"):
        run(load(toml, changed), folder=tmp_path / "run")
    report = run(load(toml, [*changed, "galaxies.on_bad=skip"]), folder=tmp_path / "run").report
    assert [name for name, _ in report.provenance["skipped"]] == [paths[1].stem, paths[0].stem]


def test_two_tables_of_one_backbone_are_told_apart_and_both_are_kept(
    toml: Path, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    views = [
        '{name="resnet18", weights="none", view="size=32"}',
        '{name="resnet18", weights="none", view="size=40"}',
    ]
    changes = [
        f"backbones=[{', '.join(views)}]",
        'heads=[{name="prototype"}]',
        "networks=[]",
        "map=false",
        "explain=0",
    ]
    done = run(
        load(toml, changes), folder=tmp_path / "run", tracker=Tracking(root=tmp_path / "mlruns")
    )
    names = {"resnet18 size=32 + prototype", "resnet18 size=40 + prototype"}
    assert {pairing.name for pairing in done.report.candidates} == names
    client = MlflowClient(done.tracking_uri, done.tracking_uri)
    runs = client.search_runs(
        [client.get_experiment_by_name("small").experiment_id], "tags.latest = 'yes'"
    )
    assert {each.info.run_name for each in runs} == {*names, "comparison"}
    assert len(client.search_registered_models()) == 2


def test_what_is_listed_twice_gets_a_number_where_nothing_tells_it_apart() -> None:
    listed = [
        NetworkChoice(name="engel"),
        NetworkChoice(name="engel", epochs=3),
        NetworkChoice(name="engel", view="size=40"),
    ]
    assert told_apart([*listed, NetworkChoice(name="resnet18")]) == ["", " 2", " size=40", ""]


def test_a_head_that_is_listed_twice_is_refused(toml: Path) -> None:
    with pytest.raises(InputError, match="heads: svm is listed twice"):
        load(toml, ['heads=[{name="svm"}, {name="svm", parameters={C=3}}]'])


def test_missing_weights_are_said_before_anything_runs(toml: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="weights"):
        run(load(toml, [f"backbones.0.weights={tmp_path / 'absent.pth'}"]), folder=tmp_path / "run")
    assert not (tmp_path / "run" / "networks").exists()


def test_a_backbone_that_has_seen_test_galaxies_is_refused(
    finished: Run, toml: Path, tmp_path: Path
) -> None:
    checkpoint = next((finished.folder / "networks").iterdir())
    settings = [f'backbones=[{{name="{checkpoint}"}}]', "networks=[]", "seed=1", "map=false"]
    drawn = run(load(toml, settings), folder=tmp_path / "drawn").report.split
    assert set(finished.report.split.train) <= set(drawn.train)  # a split that is drawn avoids it
    split = finished.report.split
    turned = Split(split.test, split.validation, split.train)
    write_labels(tmp_path / "labels.csv", finished.report.labels, turned)
    with pytest.raises(LeakError, match=r"backbone was trained on \d+ of \d+ test galaxies"):
        run(
            load(toml, [*settings, f"galaxies.labels={tmp_path / 'labels.csv'}"]),
            folder=tmp_path / "run",
        )


def test_seen_galaxies_are_scored_on_demand_with_a_dagger_everywhere(
    finished: Run, toml: Path, tmp_path: Path
) -> None:
    checkpoint = next((finished.folder / "networks").iterdir())
    backbones = (
        f'backbones=[{{name="{checkpoint}"}}, {{name="resnet18", weights="none", view="size=32"}}]'
    )
    changed = [
        backbones,
        "networks=[]",
        "seed=1",
        "map=false",
        "allow_seen=true",
        "learning_curve=[20]",
    ]
    changed.append('heads=[{name="prototype"}]')
    allowed = run(
        load(toml, changed), folder=tmp_path / "run", tracker=Tracking(root=tmp_path / "mlruns")
    )
    marked = {p.backbone: p.contaminated for p in allowed.report.candidates}
    assert marked == {"engel-q1-3class": True, "resnet18": False}
    assert {row["backbone"]: row["dagger"] for row in allowed.asdict()["pairings"]} == marked
    assert all(
        "†" in line for line in allowed.report.markdown().splitlines() if "engel-q1-3class" in line
    )
    assert "not a fair hold-out" in (tmp_path / "run" / "report.html").read_text()
    again, _, _ = read_candidates(tmp_path / "run")
    assert {p.backbone: p.contaminated for p in again} == marked


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")
def test_a_network_of_several_seeds_is_one_pairing_each_with_its_curves(
    toml: Path, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    changed = [
        "backbones=[]",
        'networks=[{name="engel", view="size=32", epochs=2, seeds=[3, 4]}]',
        'heads=[{name="prototype"}]',
    ]
    settings = load(toml, [*changed, "map=false"])
    finished = run(settings, folder=tmp_path / "run", tracker=Tracking(root=tmp_path / "mlruns"))
    assert sorted((p.approach, p.seed) for p in finished.report.candidates) == [
        ("end-to-end", 3), ("end-to-end", 4), ("fine-tuned", 3), ("fine-tuned", 4)
    ]  # fmt: skip
    assert [row["seeds"] for row in finished.report.comparison.seeds] == [2, 2]
    weights = {
        path.read_bytes() for path in (tmp_path / "run").glob("networks/*/model.safetensors")
    }
    assert len(weights) == 2
    client = MlflowClient(finished.tracking_uri)
    runs = client.search_runs(["1"])
    assert sorted(run.data.tags["kind"] for run in runs) == ["comparison", *["pairing"] * 4]
    for one in (each for each in runs if each.data.tags.get("road") == "end-to-end"):
        points = client.get_metric_history(one.info.run_id, "epochs/training_loss")
        assert [point.step for point in points] == [1, 2] and one.info.status == "FINISHED"
        assert one.data.metrics["accuracy"] >= 0


def test_runs_on_different_splits_are_refused(finished: Run, toml: Path, tmp_path: Path) -> None:
    other = load(toml, ["seed=2", "networks=[]", "map=false"])
    run(other, folder=tmp_path / "run")
    with pytest.raises(InputError, match="split"):
        compare_runs([finished.folder, tmp_path / "run"])


def test_same_settings_same_report(toml: Path, tmp_path: Path) -> None:
    settings = load(toml, ["networks=[]", "map=false"])
    reports = [run(settings, folder=tmp_path / name).report for name in "ab"]
    for one, other in zip(reports[0].candidates, reports[1].candidates, strict=True):
        assert np.array_equal(one.predictions.probabilities, other.predictions.probabilities)
