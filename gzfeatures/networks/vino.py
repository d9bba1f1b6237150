"""The same network in OpenVINO, and in its 8-bit integers.

For int8 each layer's range is measured on galaxies of the synthetic survey, which every machine draws alike: so the
precision's name says all about the vectors, and no user's images change another's.
"""

from __future__ import annotations

import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from gzfeatures.errors import InputError, need
from gzfeatures.features.extractor import Extractor
from gzfeatures.files import written_whole
from gzfeatures.images.imageset import ImageSet
from gzfeatures.images.sky import draw_survey
from gzfeatures.images.views import View
from gzfeatures.networks.forward import Artifacts, Way, in_parts, passed, ready

EXTRA = "openvino"
HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "bf16"}
"""Arithmetic of what is not quantised, by precision."""
CALIBRATION, SIDE = 300, 424
"""Synthetic galaxies that int8 is calibrated on, and their side in px, as Galaxy Zoo's own."""


class VinoForward:
    """Network in OpenVINO: converted in a second or two, and kept for the next run.

    Parameters
    ----------
    make : callable
        Gives the network, from `load.load` with a layer; called when it is needed.
    extractor : Extractor
        Says normalisation, precision and symmetries.
    folder : Path
        Where converted networks are kept.
    say : callable
        Takes one line about each choice made.

    Raises
    ------
    MissingExtraError
        OpenVINO is not installed.
    """

    compile_from = 0.0

    def __init__(
        self, make: Callable[[], nn.Module], extractor: Extractor, folder: Path, say: Callable[[str], None]
    ) -> None:
        self._vino = need("openvino", extra=EXTRA)
        self._make, self._extractor, self._say = make, extractor, say
        self._artifacts = Artifacts(folder, extractor, f"openvino {self._vino.__version__}", ".blob")
        self._core, self._requests = self._vino.Core(), threading.local()
        self._model: Any = None
        self._compiled: Any = None
        self._size = 1

    def kept(self) -> set[Way]:
        """Ways for which an earlier run left a converted network."""
        return self._artifacts.kept()

    def start(self, way: Way) -> None:
        """Convert the network, once, and make it ready for a way."""
        side, bands = self._extractor.view.size, len(self._extractor.mean)
        self._size = passed(self._extractor, way)
        if self._model is None:
            self._model = self._converted(side, bands)
        self._model.reshape([self._size, side, side, bands])
        self._compiled = self._core.compile_model(self._model, "CPU", self._settings(way))

    def compile(self, way: Way) -> None:
        """Take what an earlier run kept, or keep what was started."""
        path, self._size = self._artifacts.path(way), passed(self._extractor, way)
        if path.exists():
            self._compiled = self._core.import_model(path.read_bytes(), "CPU", self._settings(way))
            return
        with written_whole(path) as temporary:
            temporary.write_bytes(self._compiled.export_model().getvalue())

    def run(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Vectors (n, dim) of pixels (n, size, size, bands)."""
        return in_parts(self._once, pixels, self._size)

    def _once(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        if getattr(self._requests, "of", None) is not self._compiled:
            self._requests.of, self._requests.request = self._compiled, self._compiled.create_infer_request()
        self._requests.request.infer([pixels])
        return np.array(self._requests.request.get_output_tensor().data, dtype=np.float32)

    def _settings(self, way: Way) -> dict[str, Any]:
        """A stream for each lane."""
        return {
            "INFERENCE_PRECISION_HINT": HINTS[self._extractor.precision],
            "NUM_STREAMS": way.lanes,
            "INFERENCE_NUM_THREADS": way.lanes * way.threads,
        }

    def _converted(self, side: int, bands: int) -> Any:
        example = torch.zeros((1, side, side, bands), dtype=torch.uint8)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of torch, of the tracing that OpenVINO does
            warnings.simplefilter("ignore", DeprecationWarning)
            model = self._vino.convert_model(
                ready(self._make(), self._extractor, torch.float32),
                example_input=example,
                input=[-1, side, side, bands],
            )
        if self._extractor.precision != "int8":
            return model
        nncf = need("nncf", extra=EXTRA)
        start = time.perf_counter()
        quantised = nncf.quantize(model, nncf.Dataset(_galaxies(self._extractor.view)), subset_size=CALIBRATION)
        self._say(f"calibrated int8 on {CALIBRATION} synthetic galaxies in {time.perf_counter() - start:.0f} s, kept")
        return quantised


def _galaxies(view: View) -> list[npt.NDArray[np.uint8]]:
    """The synthetic galaxies under a view, shape (1, size, size, 3) each."""
    if view.bands is not None:
        raise InputError("int8 is calibrated on pictures", rule="see no bands", found=view.bands)
    with tempfile.TemporaryDirectory() as folder:
        images = ImageSet.of(draw_survey(folder, CALIBRATION, size=SIDE, progress=False).images)
        return [images.pixels(row, view)[None] for row in range(len(images))]
