"""Train a student on what teachers say of every galaxy, and pack it as a backbone of at most 15 MB.

    python experiments/teacher.py speak --pixels DIR/pixels --out DIR/teacher-0
    python experiments/student.py train --pixels DIR/pixels --teachers DIR/teacher-0 \\
        --out DIR/student-0 --seed 0
    python experiments/student.py pack --pixels DIR/pixels --teachers DIR/teacher-0 \\
        --out DIR/student-0 --seed 0

The first two go on where they were, whenever they are given again; set the environment as
`teacher.py` says. The third writes DIR/student-0/backbone, float16: `gzfeatures extract IMAGES
--backbone DIR/student-0/backbone`.

A GoogLeNet of 96 px costs what `googlenet-gz2` costs; ResNet-18 would be 22 MB in half precision
and is refused by `pack`. Its losses, each of them times a weight that may be 0:

- `labels`: what volunteers said, as the teachers learned it (`galaxy_batches.Targets`);
- `said`: the teachers' mean fractions (squared error) and classes (cross-entropy), of every galaxy
  that trains;
- `vectors`: 1 - cosine between the student's vector, by a linear layer, and the teachers', less
  their mean;
- `neighbours`: galaxies of a batch that teachers give like fractions lie close: Kullback-Leibler
  divergence of the soft neighbours by vectors (cosine / `heat`) from those by fractions (squared
  distance / `heat_said`). With one-hot fractions it is the supervised contrastive loss of
  Khosla+2020 (arXiv:2004.11362, eq. 2).

A student `--without odd odd-feature` wants teachers that were trained `--without` them too, or
none.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from common_pixels import CLASSES, FRAME, TENTH, Galaxies
from galaxy_batches import FIVE, FRACTIONS, VIEW
from galaxy_training import Settings, Training, answers, untrained
from half_precision import write_half
from resumable import STATE, resume, run
from teacher import SPOKEN, add_settings, begun, settings_of
from torch import nn
from torch.nn import functional

from gzfeatures.errors import InputError, LeakError, MissingFileError
from gzfeatures.features.backbones import TENSORS, Backbone
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.files import require_file
from gzfeatures.images.view import View
from gzfeatures.networks.models.architectures import embedding_node, output_layer, replace_output
from gzfeatures.networks.setup.targets import tree_fractions
from gzfeatures.networks.training.checkpoint import read_state, write_folder

LARGEST = 15_000_000
"""Bytes that a packaged backbone may have."""


@dataclasses.dataclass(frozen=True)
class StudentSettings(Settings):
    """What the training of a student depends on: see `Settings`, and the losses above."""

    architecture: str = "googlenet"
    steps: int = 11_000
    batch: int = 128
    sizes: tuple[int, int] = (96, 96)
    peak: float = 2e-3
    mixup: float = 0.0
    labels: float = 1.0
    said: float = 1.0
    vectors: float = 1.0
    neighbours: float = 0.1
    heat: float = 0.1
    heat_said: float = 0.1


@dataclasses.dataclass(frozen=True, eq=False)
class Said:
    """Mean fractions (n, 37) and classes (n, 6) of teachers, and their vectors side by side, less
    the mean (n, d)."""

    fractions: torch.Tensor
    classes: torch.Tensor
    vectors: torch.Tensor

    @classmethod
    def read(cls, folders: list[Path], galaxies: int, without: tuple[str, ...]) -> Said:
        """Read what `teacher.py speak` wrote.

        Raises
        ------
        MissingFileError
            A teacher has not spoken of every galaxy.
        LeakError
            A teacher has learned a question that the student must not know of.
        """
        parts: list[dict[str, torch.Tensor]] = []
        for folder in folders:
            learned = read_state(require_file(folder / STATE, "state of a teacher"))["settings"]
            if known := sorted(set(without) - set(learned["without"])):
                raise LeakError(
                    "teacher has learned a question kept from its student",
                    where=folder,
                    found=known[0],
                )
            files = [np.load(path) for path in sorted((folder / SPOKEN).glob("*.npz"))]
            if sum(len(file["fractions"]) for file in files) != galaxies:
                raise MissingFileError(
                    "teacher has not spoken of every galaxy",
                    where=folder,
                    remedy="give teacher.py speak again",
                )
            said = {name: np.concatenate([file[name] for file in files]) for name in files[0].files}
            vectors = torch.from_numpy(said["vectors"]).float()
            parts.append({name: torch.from_numpy(said[name]) for name in ("fractions", "classes")})
            parts[-1]["vectors"] = (vectors - vectors.mean(0)).half()
        mean = {
            name: torch.stack([part[name] for part in parts]).mean(0)
            for name in ("fractions", "classes")
        }
        return cls(
            mean["fractions"], mean["classes"], torch.cat([part["vectors"] for part in parts], 1)
        )


def width_of(body: nn.Module) -> int:
    """Length of the vector that enters the output layer."""
    return int(body.get_parameter(f"{output_layer(body)}.weight").shape[1])


class Pupil(nn.Module):
    """A network that also guesses the teachers' vectors, of `width` numbers, from its own."""

    def __init__(self, body: nn.Module, width: int, seed: int) -> None:
        super().__init__()
        self.body = body
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.towards = nn.Linear(width_of(body), width) if width else None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits, shape (n, 43)."""
        logits: torch.Tensor = self.body(images)
        return logits

    def both(self, copies: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and vectors, those that enter the output layer, of copies in [0, 1]."""
        met: list[torch.Tensor] = []
        last = self.body.get_submodule(output_layer(self.body))
        hook = last.register_forward_pre_hook(lambda _, given: met.append(given[0]))
        try:
            logits = answers(self, copies)
        finally:
            hook.remove()
        return logits, met[0].float()


def neighbours(
    vectors: torch.Tensor, said: torch.Tensor, heat: float, heat_said: float
) -> torch.Tensor:
    """Kullback-Leibler divergence of soft neighbours by vectors, shape (n, d), from those by
    fractions, (n, 37)."""
    unit = functional.normalize(vectors)
    self_ = torch.eye(len(unit), dtype=torch.bool)
    wanted = (-(torch.cdist(said, said) ** 2) / heat_said).masked_fill(self_, -1e9).softmax(1)
    found = (unit @ unit.T / heat).masked_fill(self_, -1e9).log_softmax(1)
    return functional.kl_div(found, wanted, reduction="batchmean")


class Student(Training):
    """A network that learns from teachers and from what volunteers said."""

    def __init__(
        self, galaxies: Galaxies, settings: StudentSettings, network: Pupil, said: Said | None
    ) -> None:
        super().__init__(galaxies, settings, network)
        self.pupil, self.weights, self.said = network, settings, said
        self.settings |= {"teachers": 0 if said is None else said.vectors.shape[1]}

    def losses(
        self, number: int, rows: npt.NDArray[np.intp], copies: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Of labels, of what teachers say, of their vectors and of neighbours, each times its
        weight."""
        plan = self.weights
        logits, vectors = self.pupil.both(copies)
        known = self.course.targets(rows).losses(logits, plan.smoothing)
        losses = {"labels": plan.labels * torch.stack(list(known.values())).sum()}
        if self.said is None or self.pupil.towards is None:
            return losses
        fractions, classes = self.said.fractions[rows], self.said.classes[rows]
        error = ((tree_fractions(logits[:, :FRACTIONS]) - fractions) ** 2).sum(1).mean()
        losses["said"] = plan.said * (
            error + functional.cross_entropy(logits[:, FRACTIONS:], classes)
        )
        theirs = self.said.vectors[rows].float()
        cosine = functional.cosine_similarity(self.pupil.towards(vectors), theirs)
        losses["vectors"] = plan.vectors * (1 - cosine).mean()
        if plan.neighbours:
            losses["neighbours"] = plan.neighbours * neighbours(
                vectors, fractions, plan.heat, plan.heat_said
            )
        return losses


def pack(student: Student, folder: Path) -> Path:
    """Write the running average as a backbone in float16, with the logits of the five classes;
    returns its folder.

    Raises
    ------
    InputError
        It is larger than 15 MB.
    """
    metrics = student.validate()
    body = copy.deepcopy(student.average.get_submodule("body"))
    learned = body.get_submodule(output_layer(body)).state_dict()
    replace_output(body, FIVE)
    last = body.get_submodule(output_layer(body))
    last.load_state_dict(
        {name: rows[FRACTIONS : FRACTIONS + FIVE] for name, rows in learned.items()}
    )
    ids = student.galaxies.cache.ids[~student.galaxies.validation]
    spec = Backbone(
        name="student",
        architecture=student.plan.architecture,
        weights=None,
        layer=embedding_node(body),
        dim=width_of(body),
        view=View(size=student.plan.sizes[1], crop=VIEW / FRAME),
        classes=FIVE,
        licence="that of the training images and votes",
        source="experiments/student.py",
        trained_on=TrainedOn.of(ids).encode(),
    )
    settings = {**student.settings, "own tenth": f"sha256 % 10 == {TENTH}"}
    record: dict[str, Any] = {
        "classes": list(CLASSES[:FIVE]),
        "scheme": "zhu-5class",
        "settings": settings,
    }
    record |= {"metrics": metrics, "dihedral": False}
    whole = write_folder(folder / "float32", spec, body, record)
    made = write_half(whole, folder / "backbone", folder.name)
    if (size := (made / TENSORS).stat().st_size) > LARGEST:
        raise InputError(
            "packed backbone", where=made, rule=f"have at most {LARGEST} bytes", found=size
        )
    return made


def main() -> None:
    """Train or pack."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("train", "pack"))
    parser.add_argument(
        "--pixels", type=Path, required=True, help="folder that common_pixels.py wrote"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of this student")
    parser.add_argument(
        "--teachers", type=Path, nargs="*", default=[], help="folders of teachers that have spoken"
    )
    parser.add_argument(
        "--weights", type=Path, help="weights to begin with; random ones by default"
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="between two states on disk")
    parser.add_argument("--stop", type=int, help="step to stop at for now")
    add_settings(parser, StudentSettings())
    given = vars(parser.parse_args())
    settings = settings_of(given, StudentSettings())
    galaxies = Galaxies.read(given["pixels"])
    said = (
        Said.read(given["teachers"], len(galaxies.codes), settings.without)
        if given["teachers"]
        else None
    )
    body = untrained(settings.architecture, settings.seed)
    if given["weights"] is not None:
        body = begun(body, given["weights"])
    student = Student(
        galaxies,
        settings,
        Pupil(body, 0 if said is None else said.vectors.shape[1], settings.seed),
        said,
    )
    if given["what"] == "train":
        run(student, given["out"], minutes=given["minutes"], stop=given["stop"])
    elif resume(student, given["out"]) == student.total:
        print(pack(student, given["out"]))
    else:
        raise InputError("student", where=given["out"], rule="be trained to the end")


if __name__ == "__main__":
    main()
