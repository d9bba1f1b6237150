"""Store all settings that change an embedding (the extractor), and compute their fingerprint."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from gzfeatures import fingerprint
from gzfeatures.errors import InputError, unknown
from gzfeatures.images.view import View

FORMAT = 1
"""Version of embedding tables; raise it if older code would misread a new table."""
FORMATS = {"float32": FORMAT, "float16": 2}
"""Version of tables by the precision in which their numbers are kept."""

IMPORTED, UNKNOWN = "imported", "unknown"
"""Architecture of vectors that another program wrote, and what stands for their arithmetic."""


@dataclasses.dataclass(frozen=True)
class Extractor:
    """Store all settings that change an embedding: network, weights, layer, crop, precision.

    Parameters
    ----------
    backbone : str
        Name, for people; not part of the fingerprint.
    architecture : str
        Network that computes the vectors.
    weights : str
        Sha256 of the weights file, or `random:<seed>`.
    layer : str
        Node of the network whose output is the vector. For nodes joined by +, the vector is their
        outputs one after the other.
    dim : int
        Length of the vector.
    view : View
        Crop, size and colours of the image that the network gets.
    mean, std : three floats
        Normalisation of pixels in [0, 1].
    precision : {"float32", "bfloat16", "float16", "int8"}
        Arithmetic of the forward pass.
    engine : {"torch", "openvino"}
        Library that runs the network.
    stride_on : {"conv1", "conv2"}
        Convolution of a bottleneck that carries the stride.
    trained_on : str, optional
        Training ids as written by `TrainedOn.encode`, if the weights were trained on galaxies.
    dihedral : bool
        Whether the vector is the mean over 8 turned and mirrored copies of the image.
    stored : {"float32", "float16"}
        Precision in which table and store keep the numbers.

    Raises
    ------
    UnknownNameError
        `stored` is neither float32 nor float16.
    """

    backbone: str
    architecture: str
    weights: str
    layer: str
    dim: int
    view: View
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    precision: str = "float32"
    engine: str = "torch"
    stride_on: str = "conv2"
    trained_on: str | None = None
    dihedral: bool = False
    stored: str = "float32"

    def __post_init__(self) -> None:
        if self.stored not in FORMATS:
            raise unknown("precision of stored numbers", self.stored, FORMATS)

    @classmethod
    def imported(cls, name: str, origin: str, column: str, dim: int) -> Extractor:
        """Return settings of another program's vectors: name, origin, column, length; rest unknown.

        Parameters
        ----------
        name : str
            Name of the vectors, for people.
        origin : str
            What distinguishes these vectors from others: encoder's name, or sha256 of the file.
        column : str
            Column of the file with the vectors.
        dim : int
            Length of the vector.

        Examples
        --------
        >>> Extractor.imported("zoobot", "zoobot", "feat_*", 640).is_imported
        True
        """
        # gzfeatures does not know the pixels and arithmetic of another program, so these fields
        # stay empty
        return cls(
            name, IMPORTED, f"{IMPORTED}:{origin}", column, dim, View(), (), (), UNKNOWN, UNKNOWN
        )

    @property
    def is_imported(self) -> bool:
        """Return whether another program made the vectors; then no new image can be embedded."""
        return self.architecture == IMPORTED

    def asdict(self) -> dict[str, Any]:
        """Return all settings (network, layer, crop, …) as JSON values."""
        fields: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        # earlier versions of gzfeatures refuse the field `stored`, but can read float32 tables:
        # leave the field out of float32 tables
        if self.stored == "float32":
            del fields["stored"]
        return {**fields, "view": self.view.asdict()}

    @classmethod
    def fromdict(cls, fields: dict[str, Any]) -> Extractor:
        """Return settings (extractor) from a dict written by `asdict`; refuse unknown fields.

        Parameters
        ----------
        fields : dict
            Values of the settings by their names.
        """
        try:
            fields = {**fields, "view": View(**fields["view"])}
            fields |= {key: tuple(fields[key]) for key in ("mean", "std") if key in fields}
            return cls(**fields)
        except (TypeError, KeyError) as error:
            raise InputError("extractor record cannot be read", found=str(error)) from None

    @property
    def fingerprint(self) -> str:
        """Return the sha256 of all settings that change an embedding.

        The backbone's name and its training galaxies are no part of it.
        """
        fields = self.asdict()
        del fields["backbone"], fields["trained_on"]
        # stores of earlier versions have fingerprints without the field `dihedral` (mean over
        # turned images); leave its default out, so that their embeddings are still found
        if not self.dihedral:
            del fields["dihedral"]
        return fingerprint.of({**fields, "format": FORMAT})
