"""The trainings of experiments/: a kill costs nothing, the own tenth is never opened, both kinds of
file look alike."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from places import EXPERIMENTS
from safetensors.torch import load_file, save_file

from gzfeatures import fingerprint
from gzfeatures.errors import InputError, LeakError, MissingFileError
from gzfeatures.features.backbones import backbone
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.galaxies.labels.schemes import scheme
from gzfeatures.galaxies.splits.split import digest_remainders
from gzfeatures.galaxies.votes.votes import ANSWERS, COLUMNS, PARENTS, QUESTIONS
from gzfeatures.networks.models.load import load

sys.path.insert(0, str(EXPERIMENTS))
import common_pixels
import galaxy_batches
import galaxy_training
import resumable
import student
import teacher

KAGGLE = [
    f"Class{q}.{a}"
    for q, answers in enumerate(QUESTIONS.values(), 1)
    for a in range(1, len(answers) + 1)
]
SMALL = galaxy_training.Settings(
    architecture="mobilenet-v2", steps=5, batch=4, sizes=(32, 40), warm=2
)

PUPIL = student.StudentSettings(
    architecture="mobilenet-v2", steps=2, batch=4, sizes=(32, 32), warm=1
)


def jpeg(pixels: np.ndarray, quality: int, subsampling: int) -> bytes:
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "JPEG", quality=quality, subsampling=subsampling)
    return stored.getvalue()


def galaxy(seed: int) -> np.ndarray:
    """A tilted ellipse on a noisy sky, 424 px."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((424, 424)) - 212
    angle = rng.uniform(0, 3)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    light = 200 * np.exp(-np.hypot(along / 40, across / rng.uniform(10, 40)))
    return np.clip(
        light[..., None] * [1, 0.9, 0.7] + rng.normal(8, 3, (424, 424, 3)), 0, 255
    ).astype(np.uint8)


def fractions(n: int, seed: int) -> np.ndarray:
    """Cumulative fractions that obey the tree."""
    rng = np.random.default_rng(seed)
    values = np.zeros((n, len(ANSWERS)))
    for question, answers in QUESTIONS.items():
        parent = PARENTS[question]
        share = np.ones(n) if parent is None else values[:, ANSWERS.index(parent)]
        values[:, COLUMNS[question]] = rng.dirichlet(np.full(len(answers), 0.3), n) * share[:, None]
    return values


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small survey laid out as ../shared/data; files of the own tenth cannot be opened as
    pictures."""
    root = tmp_path_factory.mktemp("survey")
    for folder in ("gz2/images", "gz2/bulk", "catalogs"):
        (root / folder).mkdir(parents=True)
    names = np.asarray([str(100000 + row) for row in range(1000)], object)
    chosen_on = np.isin(digest_remainders(names, 100), common_pixels.VALIDATION)
    ids = np.concatenate([names[chosen_on][:12], names[~chosen_on][:48]])
    votes = pd.DataFrame(fractions(len(ids), 0), columns=KAGGLE)
    votes.insert(0, "GalaxyID", ids)
    labels = scheme("zhu-5class").label(common_pixels.gz.Catalog.of(votes))
    named = dict(zip(labels.ids, labels.names, strict=True))
    large = np.arange(len(ids)) % 2 == 0
    large |= ~np.isin(ids, labels.ids)
    for row, name in enumerate(ids):
        whole = galaxy(row)
        small = (
            Image.fromarray(whole)
            .crop((92, 92, 332, 332))
            .resize((128, 128), Image.Resampling.LANCZOS)
        )
        held = b"not to be opened" if digest_remainders(ids[[row]], 10)[0] == 3 else None
        place = root / "gz2" / ("images" if large[row] else "bulk") / f"{name}.jpg"
        place.write_bytes(
            held or (jpeg(whole, 75, 2) if large[row] else jpeg(np.asarray(small), 88, 0))
        )
    classes = pd.DataFrame({"GalaxyID": ids, "class5": [named.get(name) for name in ids]})
    classes[large].assign(unbiased_sample=np.arange(large.sum()) % 3 > 0).to_csv(
        root / "gz2/classes.csv", index=False
    )
    classes[~large].to_csv(root / "gz2/bulk.csv", index=False)
    # a third of those with a class are without votes
    without = (np.arange(len(ids)) % 3 == 0) & np.isin(ids, labels.ids)
    votes[~without].to_csv(root / "catalogs/kaggle_training_solutions_part.csv", index=False)
    return root


@pytest.fixture(scope="module")
def pixels(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pixels")
    common_pixels.write(data, folder)
    return folder


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small_teacher(pixels: Path) -> teacher.Teacher:
    return teacher.Teacher(
        common_pixels.Galaxies.read(pixels), SMALL, galaxy_training.untrained(SMALL.architecture, 0)
    )


def contents(state: Any, path: str = "") -> dict[str, Any]:
    """Digest of every tensor of a state, and every other value, by its place."""
    if isinstance(state, torch.Tensor):
        return {path: fingerprint.of_bytes(state.contiguous().numpy().tobytes())}
    if isinstance(state, (dict, list, tuple)):
        pairs = state.items() if isinstance(state, dict) else enumerate(state)
        return {k: v for key, value in pairs for k, v in contents(value, f"{path}/{key}").items()}
    return {path: state}


def enliven(network: torch.nn.Module) -> None:
    """Weights under which pictures differ: without training, torchvision's own fade away in
    evaluation."""
    generator = torch.Generator().manual_seed(0)
    for part in network.modules():
        if isinstance(part, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(part.weight, generator=generator)


class Killed(BaseException):
    """Stands for a kill: nothing catches it, nothing is written after it."""


def test_a_full_size_galaxy_and_its_small_copy_become_the_same_pixels() -> None:
    whole = jpeg(galaxy(1), 75, 2)
    decoded = Image.open(io.BytesIO(whole)).convert("RGB")
    small = decoded.crop((92, 92, 332, 332)).resize((128, 128), Image.Resampling.LANCZOS)
    copy = jpeg(np.asarray(small), 88, 0)
    assert np.array_equal(common_pixels.frame(whole), common_pixels.frame(copy))
    assert not np.array_equal(
        common_pixels.frame(whole), common_pixels.frame(whole, Image.Resampling.BILINEAR)
    )


def test_a_picture_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="be 424 or 128 px wide and high"):
        common_pixels.frame(jpeg(galaxy(1)[:200, :200], 90, 0))


def test_no_file_of_the_own_tenth_is_opened(data: Path, pixels: Path) -> None:
    every = [
        path for folder in ("images", "bulk") for path in (data / "gz2" / folder).glob("*.jpg")
    ]
    held = {path.stem for path in every if path.read_bytes() == b"not to be opened"}
    galaxies = common_pixels.Galaxies.read(pixels)
    assert len(held) > 2
    assert set(galaxies.cache.ids) == {path.stem for path in every} - held


def test_pixels_that_hold_the_own_tenth_are_refused(pixels: Path, tmp_path: Path) -> None:
    with np.load(pixels / "labels.npz") as file:
        arrays = {name: file[name].copy() for name in file.files}
    arrays["ids"][0] = next(
        str(n) for n in range(100) if digest_remainders(np.asarray([str(n)], object), 10)[0] == 3
    )
    np.savez(tmp_path / "labels.npz", **arrays)
    with pytest.raises(LeakError, match="own tenth"):
        common_pixels.Galaxies.read(tmp_path)


def test_galaxies_for_choices_never_train(pixels: Path) -> None:
    galaxies = common_pixels.Galaxies.read(pixels)
    course = galaxy_batches.Course(galaxies, 0, 4, 0.5, ())
    drawn = np.unique(np.concatenate([course.at(step) for step in range(10 * len(course))]))
    assert galaxies.validation.any()
    assert not galaxies.validation[drawn].any()


def test_soft_classes_are_certain_far_from_a_threshold_and_even_at_it() -> None:
    table = pd.DataFrame(np.zeros((2, 37)), columns=KAGGLE)
    table.loc[:, "Class6.2"] = 1.0
    table.loc[0, ["Class1.1", "Class7.1"]] = 1.0
    table.loc[1, ["Class1.1", "Class1.2", "Class2.2", "Class4.2"]] = 0.5, 0.5, 0.5, 0.5
    table.loc[1, "Class7.1"] = 0.5
    shares = common_pixels.class_shares(table.assign(GalaxyID=["1", "2"]))
    assert shares[0].tolist() == [1, 0, 0, 0, 0, 0]
    assert 0.25 < shares[1, 0] < 0.75
    assert shares.sum(1) == pytest.approx(1)


def test_redrawn_panels_keep_to_the_tree_and_to_the_mean() -> None:
    given = fractions(20, 3)
    drawn = common_pixels.redrawn(given, 400, 40, 0)
    for question, parent in PARENTS.items():
        if question != "odd-feature":
            share = 1.0 if parent is None else drawn[:, ANSWERS.index(parent)]
            assert drawn[:, COLUMNS[question]].sum(1) == pytest.approx(share)
    assert drawn.reshape(20, 400, -1).mean(1) == pytest.approx(given, abs=0.03)


def test_unknown_votes_and_missing_classes_teach_nothing() -> None:
    logits = torch.randn(
        2, galaxy_batches.OUTPUTS, generator=torch.Generator().manual_seed(0)
    ).requires_grad_()
    votes = torch.full((2, 37), torch.nan)
    targets = galaxy_batches.Targets(votes, torch.full((2, 6), 1 / 6), torch.tensor([5, 5]))
    losses = targets.losses(logits, 0.0)
    (losses["votes"] + losses["hard"]).backward()
    assert losses["votes"] == losses["hard"] == 0
    assert not logits.grad.any()


def test_an_interrupted_training_ends_in_the_same_bytes(
    pixels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = small_teacher(pixels)
    assert resumable.run(whole, tmp_path / "whole", minutes=60) == 5
    cut = small_teacher(pixels)
    step = cut.step

    def killed_at_five(number: int) -> dict[str, float]:
        if number == 4:
            raise Killed
        return step(number)

    monkeypatch.setattr(cut, "step", killed_at_five)
    saves: list[int] = []
    save = resumable.save
    monkeypatch.setattr(
        resumable, "save", lambda *given: (saves.append(given[2]), given[2] < 4 and save(*given))
    )
    with pytest.raises(Killed):
        resumable.run(cut, tmp_path / "cut", minutes=0)
    assert saves == [1, 2, 3, 4]  # the last of them is lost
    monkeypatch.setattr(resumable, "save", save)
    (tmp_path / "cut" / ".state.pt.abc.part.pt").write_bytes(b"left behind")
    again = small_teacher(pixels)
    assert resumable.run(again, tmp_path / "cut", minutes=60) == 5
    assert not list((tmp_path / "cut").glob(".state*"))
    assert contents(again.state()) == contents(whole.state())
    assert contents(again.state()) != contents(small_teacher(pixels).state())
    logs = [(tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("whole", "cut")]
    assert [json.loads(line)["step"] for line in logs[0]] == [
        json.loads(line)["step"] for line in logs[1]
    ]


def test_a_training_does_not_go_on_with_other_settings(pixels: Path, tmp_path: Path) -> None:
    resumable.run(small_teacher(pixels), tmp_path, stop=1)
    other = small_teacher(pixels)
    other.settings["peak"] = 1.0
    with pytest.raises(InputError, match=r"those the training began with.*peak"):
        resumable.run(other, tmp_path)


def small_student(
    pixels: Path, folder: Path, architecture: str = PUPIL.architecture
) -> student.Student:
    galaxies = common_pixels.Galaxies.read(pixels)
    said = student.Said.read([folder], len(galaxies.codes), PUPIL.without)
    settings = dataclasses.replace(PUPIL, architecture=architecture)
    pupil = student.Pupil(galaxy_training.untrained(architecture, 0), said.vectors.shape[1], 0)
    return student.Student(galaxies, settings, pupil, said)


@pytest.fixture(scope="module")
def spoken(pixels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher of one step that has spoken, in blocks of 16."""
    folder = tmp_path_factory.mktemp("teacher")
    taught = small_teacher(pixels)
    resumable.run(taught, folder, stop=1)
    enliven(taught.average)
    save_file(
        {k: v.contiguous() for k, v in taught.average.state_dict().items()},
        folder / teacher.WEIGHTS,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teacher, "BLOCK", 16)
        teacher.speak(common_pixels.Galaxies.read(pixels), folder, SMALL)
    return folder


def test_a_teacher_speaks_of_every_galaxy_and_keeps_what_it_said(
    pixels: Path, spoken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    galaxies = common_pixels.Galaxies.read(pixels)
    folder = Path(shutil.copytree(spoken, tmp_path / "teacher"))
    blocks = sorted((folder / teacher.SPOKEN).glob("*.npz"))
    said = student.Said.read([folder], len(galaxies.codes), ())
    assert len(blocks) > 1
    assert said.classes.sum(1).numpy() == pytest.approx(1, abs=1e-4)
    for question, parent in PARENTS.items():
        share = 1.0 if parent is None else said.fractions[:, ANSWERS.index(parent)].numpy()
        assert said.fractions[:, COLUMNS[question]].sum(1).numpy() == pytest.approx(share, abs=1e-4)
    assert said.vectors.float().mean(0).abs().max() < 0.01 < said.vectors.float().std()
    lost = blocks[1].read_bytes()
    blocks[0].write_bytes(b"kept")
    blocks[1].unlink()
    monkeypatch.setattr(teacher, "BLOCK", 16)
    teacher.speak(galaxies, folder, SMALL)
    assert blocks[0].read_bytes() == b"kept"
    assert blocks[1].read_bytes() == lost


def test_an_interrupted_student_ends_in_the_same_bytes(
    pixels: Path, spoken: Path, tmp_path: Path
) -> None:
    whole, first, second = (small_student(pixels, spoken) for _ in range(3))
    resumable.run(whole, tmp_path / "whole")
    resumable.run(first, tmp_path / "cut", stop=1)
    begun = contents(first.state())
    resumable.run(second, tmp_path / "cut")
    assert contents(second.state()) == contents(whole.state())
    assert contents(second.state()) != begun


def test_a_student_is_packed_as_a_backbone_that_has_seen_what_trained_it(
    pixels: Path, spoken: Path, tmp_path: Path
) -> None:
    galaxies = common_pixels.Galaxies.read(pixels)
    pupil = small_student(pixels, spoken, "googlenet")
    enliven(pupil.average)
    made = student.pack(pupil, tmp_path)
    spec = backbone(made)
    assert (spec.dim, spec.classes, spec.view.size) == (1024, 5, 32)
    seen = TrainedOn.decode(spec.trained_on or "").contains(galaxies.cache.ids)
    assert seen.tolist() == (~galaxies.validation).tolist()
    # its vectors enter its five logits, which are those of the student
    images = torch.rand((4, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    last = load_file(made / "model.safetensors")
    with torch.inference_mode():
        logits = pupil.average(images)[:, 37:42].numpy()
        vectors = load(spec, layer=spec.layer)(images)
    assert vectors.shape == (4, 1024)
    assert (vectors @ last["fc.weight"].float().T + last["fc.bias"]).numpy() == pytest.approx(
        logits, abs=0.02
    )
    assert np.ptp(logits, 0).min() > 0


def test_a_backbone_over_15_mb_is_refused(pixels: Path, spoken: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at most 15000000 bytes"):
        student.pack(small_student(pixels, spoken, "resnet18"), tmp_path)


def test_a_question_kept_from_the_student_must_have_been_kept_from_its_teacher(
    pixels: Path, spoken: Path
) -> None:
    with pytest.raises(LeakError, match=r"learned a question.*odd"):
        student.Said.read([spoken], len(common_pixels.Galaxies.read(pixels).codes), ("odd",))


def test_a_teacher_that_has_not_spoken_of_all_is_refused(pixels: Path, spoken: Path) -> None:
    with pytest.raises(MissingFileError, match="every galaxy"):
        student.Said.read([spoken], len(common_pixels.Galaxies.read(pixels).codes) + 1, ())


def test_like_votes_draw_vectors_together() -> None:
    votes = torch.eye(2).repeat_interleave(3, 0)
    together = torch.eye(2).repeat_interleave(3, 0) + 0.01
    apart = torch.eye(6)[:, [0, 3, 1, 4, 2, 5]]
    crossed = torch.eye(2).repeat(3, 1)
    losses = [
        float(student.neighbours(each, votes, 0.1, 0.1)) for each in (together, apart, crossed)
    ]
    assert losses[0] < 0.01 < losses[1] < losses[2]


def test_networks_of_two_seeds_start_apart_and_of_one_alike() -> None:
    first, same, other = (
        contents(galaxy_training.untrained("mobilenet-v2", n).state_dict()) for n in (0, 0, 1)
    )
    assert first == same != other


def test_weights_without_a_layer_are_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole.safetensors"
    state = {
        k: v.contiguous()
        for k, v in galaxy_training.untrained("mobilenet-v2", 1).state_dict().items()
    }
    save_file(state, whole)
    begun = contents(
        teacher.begun(galaxy_training.untrained("mobilenet-v2", 0), whole).state_dict()
    )
    changed = [name for name, value in contents(state).items() if begun[name] != value]
    assert changed == ["/classifier.1.weight"]
    save_file({k: v for k, v in state.items() if k != "features.1.conv.0.0.weight"}, whole)
    with pytest.raises(MissingFileError, match=r"lack a layer.*features\.1\.conv\.0\.0"):
        teacher.begun(galaxy_training.untrained("mobilenet-v2", 0), whole)
