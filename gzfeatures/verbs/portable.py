"""Write heads as ONNX files, which other programs can run."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gzfeatures import outputs
from gzfeatures.errors import NETWORK, require_packages
from gzfeatures.experiment.prediction import TABLES, find_head
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.heads.head import Head
from gzfeatures.images.image_set import ImageSet
from gzfeatures.progress import Progress, handed
from gzfeatures.verbs.inputs import Place

if TYPE_CHECKING:
    from gzfeatures.portable.export import Exported


def export(
    head: Head | Place,
    path: Place,
    *,
    from_: Literal["pixels", "vectors"] = "pixels",
    check_on: ImageSet | EmbeddingTable | Place | None = None,
    scheme: str | None = None,
    backbone: Place | None = None,
    weights: Place | None = None,
    int8: bool = False,
    progress: Progress | bool = False,
) -> Exported:
    """Write a head as one ONNX file that predicts classes from pixels or from embeddings.

    Parameters
    ----------
    head : Head, str or Path
        Head, its file, or "googlenet-gz2", a network with heads that come with the package.
    path : str or Path
        File to write. An existing file is replaced, except a file from which the head or its
        backbone is read.
    from_ : {"pixels", "vectors"}
        What the ONNX file reads: cropped and resized images with 8-bit pixels, or embeddings of the
        head's backbone.
    check_on : ImageSet, EmbeddingTable, str or Path, optional
        Galaxies, at most 500, on which the ONNX file's predictions are compared with those of the
        head; by default simulated galaxies.
    scheme : str, optional
        Which head of googlenet-gz2: zhu-5class (default) or votes-37.
    backbone : str or Path, optional
        Folder or file of the backbone, if its name is not that of a known backbone.
    weights : str or Path, optional
        Weights file of the backbone, if it brings no weights.
    int8 : bool
        Compute the backbone in 8-bit integers, one image at a time.
    progress : Progress or bool
        Shows the steps; by default nothing is shown. True: in the terminal.

    Returns
    -------
    Exported
        Path and size of the file, model card, and how far the predictions of each program that can
        run the file (runtime) are from those of the head.

    Raises
    ------
    GzError
        onnx, onnxscript or onnxruntime is not installed; the head or its backbone cannot be written
        as ONNX; or the predictions of a runtime differ from those of the head. Then nothing is
        written.

    Examples
    --------
    >>> export("heads/svm.skops", "model.onnx").summary  # doctest: +SKIP
    """
    require_packages("exporting a head", *NETWORK)
    # import only here and not at the top: the import loads PyTorch, which takes seconds
    from gzfeatures.portable.export import ExportOptions, export_head

    places = [each for each in (head, check_on, backbone, weights) if isinstance(each, str | Path)]
    inputs, files = map(Path, places), [Path(path)]
    # refuse to overwrite an input; if the command line called this function, it has made this check
    # before
    guard: AbstractContextManager[object] = nullcontext()
    if outputs.current() is None:
        guard = outputs.guarded("export", inputs=inputs, files=files, overwrite=True)
    with guard:
        if isinstance(check_on, str | Path):
            table = Path(check_on).suffix in TABLES
            check_on = EmbeddingTable.read(check_on) if table else ImageSet.of(check_on)
        of = check_on.extractor if isinstance(check_on, EmbeddingTable) else None
        chosen = head if isinstance(head, Head) else find_head(head, scheme, of)
        say = handed(progress)
        options = ExportOptions(from_, check_on, backbone, weights, int8, progress=say)
        return export_head(chosen, Path(path), options)
