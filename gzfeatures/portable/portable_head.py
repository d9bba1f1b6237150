"""Read an exported ONNX file as a head, whose predictions the graph in the file computes."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gzfeatures.errors import InputError, need, parsing
from gzfeatures.features.matrices import BLOCK
from gzfeatures.heads.head import Head
from gzfeatures.networks.portable.runtimes import Run, in_onnxruntime
from gzfeatures.portable.head_graph import VECTORS, main_output
from gzfeatures.portable.model_file import ModelFile, read_model_file
from gzfeatures.progress import SILENT, Progress

if TYPE_CHECKING:
    from gzfeatures.features.store import Store
    from gzfeatures.features.table import EmbeddingTable
    from gzfeatures.images.image_set import ImageSet
    from gzfeatures.images.view import View

SUFFIX = ".onnx"
"""File ending of exported heads."""


class GraphEstimator:
    """Predict from embeddings with an exported ONNX graph; skip the backbone if the graph has one.

    Parameters
    ----------
    file : ModelFile
        Exported file with the graph.
    output : str
        Name of the graph's main output.
    classes : int
        Number of classes (k).
    probabilities : bool
        True if the output are class probabilities, which sum to 1 for each galaxy.
    """

    def __init__(self, file: ModelFile, output: str, classes: int, *, probabilities: bool) -> None:
        self.classes_ = np.arange(classes)
        self._file, self._output, self._sum_to_1 = file, output, probabilities

    @cached_property
    def _run(self) -> Run:
        onnx = need("onnx", extra="onnx")
        with parsing("exported file cannot be run", self._file.path):
            part = onnx.utils.Extractor(self._file.model).extract_model([VECTORS], [self._output])
            # `part` is the graph after the backbone. The backbone may accept only one image per
            # batch, but this part can read any number of rows n: declare this
            del part.graph.value_info[:]
            for each in (*part.graph.input, *part.graph.output):
                each.type.tensor_type.shape.dim[0].dim_param = "n"
            return in_onnxruntime(part.SerializeToString())

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Return class probabilities, vote fractions or numbers, float64, shape (n, k)."""
        rows, k = np.asarray(X, dtype=np.float32), len(self.classes_)
        values = np.empty((len(rows), k))
        for start in range(0, len(rows), BLOCK):
            part = np.ascontiguousarray(rows[start : start + BLOCK])
            with parsing("exported file cannot be run", self._file.path):
                answer = self._run(part)[self._output]
            if answer.shape != (len(part), k) or not np.isfinite(answer).all():
                raise InputError(
                    "exported file does not answer",
                    where=self._file.path,
                    rule=f"give {k} finite numbers for a galaxy",
                    found=answer.shape,
                )
            values[start : start + len(part)] = answer
        if self._sum_to_1:
            # divide probabilities by their sum for each galaxy, which in float32 differs from 1
            values = np.clip(values, 0, 1)
            values /= np.maximum(values.sum(1, keepdims=True), 1e-12)
        return values

    def predict(self, X: Any) -> npt.NDArray[np.float64]:
        """Return predicted vote fractions or numbers such as redshifts, float64, shape (n, k)."""
        return self.predict_proba(X)

    def uncalibrated(self, X: Any) -> npt.NDArray[np.float64]:
        """Raise an error: an exported file has no uncalibrated probabilities, only calibrated."""
        raise InputError(
            "exported file gives calibrated probabilities alone", where=self._file.path
        )


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class PortableHead(Head):
    """Predict with the graph of an exported ONNX file, like any other head.

    Parameters
    ----------
    file : Path
        The exported file.
    source : {"pixels", "vectors"}
        Input of the graph: pixels (the graph then includes the backbone), or embeddings.
    """

    file: Path = Path()
    source: str = "vectors"

    @classmethod
    def open(cls, path: str | Path) -> PortableHead:
        """Return a head read from an exported ONNX file.

        Raises
        ------
        MissingExtraError, MissingFileError, InputError
            As `read_model_file`; or its metadata are not those of a head.
        """
        file = read_model_file(path)
        bare = Head.of_record(file.record, None, file.path)
        output, k = main_output(bare), len(bare.classes)
        estimator = GraphEstimator(file, output, k, probabilities=bare.target == "classes")
        fields = {field.name: getattr(bare, field.name) for field in dataclasses.fields(Head)}
        fields["estimator"] = estimator
        return cls(**fields, file=file.path, source=file.source)

    def table_of(
        self,
        images: ImageSet,
        store: Store,
        *,
        view: View | None = None,
        on_bad: str = "raise",
        progress: Progress | bool = SILENT,
    ) -> EmbeddingTable:
        """Crop and resize images, and return the embeddings that the file's backbone computes.

        Parameters
        ----------
        images : ImageSet
            Images of galaxies.
        store : Store
            Folder in which embeddings are looked up and stored, under the file's sha256.
        view : View, optional
            Crop and size of the images, if other than those on which the head was fitted.
        on_bad : {"raise", "skip"}
            An image that cannot be read is an error, or is left out.
        progress : Progress or bool
            Shows a progress bar; by default nothing is shown.

        Raises
        ------
        InputError
            The file reads embeddings, not pixels.
        """
        from gzfeatures.networks.extraction.extract import compute_table
        from gzfeatures.networks.extraction.spec import Extraction

        if self.source != "pixels":
            raise InputError(
                "exported file takes vectors", where=self.file, remedy="extract the images first"
            )
        known = self.extractors[0]
        extraction = Extraction(
            f"onnx:{self.file}",
            layer=VECTORS,
            view=view or known.view,
            precision="float32",
            on_bad=on_bad,
            store=store,
            progress=progress,
        )
        table = compute_table(images, extraction)
        # name the original backbone in the table, not the ONNX file: both give the same embeddings,
        # and only of the original it is known on which galaxies it was trained
        known = dataclasses.replace(known, view=view or known.view)
        return dataclasses.replace(table, extractor=known)
