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
        Head, its file, or googlenet-gz2.
    path : str or Path
        File to write; an existing one is replaced, but none that is read here.
    from_ : {"pixels", "vectors"}
        What the graph takes: 8-bit pixels under the head's view, or vectors of its backbone.
    check_on : ImageSet, EmbeddingTable, str or Path, optional
        Galaxies on which the file is compared with the head, 500 at most; default simulated ones.
    scheme : str, optional
        Head of googlenet-gz2: zhu-5class (default) or votes-37.
    backbone : str or Path, optional
        Where the backbone lies, if its name does not say.
    weights : str or Path, optional
        Its weights file, if not the backbone's own.
    int8 : bool
        Compute the backbone in 8-bit integers, one picture at a time.
    progress : Progress or bool
        Where the steps are told; nowhere by default. True is the terminal.

    Returns
    -------
    Exported
        Path, size, model card, and how far each runtime is from the head.

    Raises
    ------
    GzError
        onnx, onnxscript or onnxruntime is not installed; the head or its backbone has no form in
        ONNX; a runtime says something else of a galaxy than the head. Nothing is written then.

    Examples
    --------
    >>> export("heads/svm.skops", "model.onnx").summary  # doctest: +SKIP
    """
    require_packages("exporting a head", *NETWORK)
    # import only here: the import loads PyTorch, which other commands do not need
    from gzfeatures.portable.export import ExportOptions, export_head

    places = [each for each in (head, check_on, backbone, weights) if isinstance(each, str | Path)]
    inputs, files = map(Path, places), [Path(path)]
    # the command line protects inputs from being overwritten; do the same in a call from Python
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
