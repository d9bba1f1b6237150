"""Run a network in OpenVINO on a CPU, in floating point or in 8-bit integers.

For int8 each layer's range is measured on simulated galaxies, which are the same on every machine.
So int8 embeddings do not depend on the user's own images, and are the same for all users.
"""

from __future__ import annotations

import tempfile
import threading
import time
import warnings
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from gzfeatures.errors import InputError, need
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks.encoders.soundness import (
    CENTRED_COSINE,
    NEIGHBOURS,
    directions_and_neighbours,
)
from gzfeatures.networks.extraction.forward import Forward, Threading, ready
from gzfeatures.networks.extraction.network_crops import to_views
from gzfeatures.networks.extraction.plan import Pixels, Vectors
from gzfeatures.networks.hardware import load_newest_tbb
from gzfeatures.synthetic.survey import draw_survey

EXTRA = "openvino"
HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "bf16"}
"""OpenVINO's name for the arithmetic of layers outside of int8, for each precision."""
CALIBRATION, SIDE = 300, 424
"""Number of simulated galaxies that calibrate int8, and their width in pixels, as in Galaxy Zoo."""
JUDGED, KEPT = 48, 0.8
"""Number of other simulated galaxies on which int8 is compared with float32, and the smallest share
of equal nearest neighbours without a warning. ResNet-50 and GoogLeNet, on which heads are as
accurate with int8, have .83 and more; MobileNetV2 has .74."""


class OpenVinoForward(Forward):
    """Run a network in OpenVINO; store the converted network, which saves seconds in the next run.

    Raises
    ------
    MissingExtraError
        OpenVINO is not installed.
    """

    compile_from, suffix = 0.0, ".blob"
    _model: Any = None
    _compiled: Any
    _requests: threading.local

    @cached_property
    def _vino(self) -> Any:
        load_newest_tbb()
        return need("openvino", extra=EXTRA)

    @cached_property
    def _core(self) -> Any:
        return self._vino.Core()

    def prepare(self, threading: Threading) -> None:
        """Convert the network once, and compile it for a number of workers and threads."""
        self._size = self._images(threading)
        if self._model is None:
            self._model = self._converted()
        self._model.reshape([self._size, *self._shape])
        self._use(self._core.compile_model(self._model, "CPU", self._settings(threading)))

    def compile(self, threading: Threading) -> None:
        """Load the compiled network that an earlier run stored; else compile and store it."""
        self._size = self._images(threading)
        if self._imported(threading):
            return
        if self._model is None:
            self.prepare(threading)
        if (obstacle := self._code.obstacle()) is not None:
            self._say(f"the converted network is not kept: {obstacle}")
        elif not (
            result := self._store(threading, self._compiled.export_model().getvalue())
        ).startswith("kept"):
            self._say(f"the converted network is {result}")

    def _imported(self, threading: Threading) -> bool:
        """Load the compiled network that an earlier run stored; return whether this succeeded."""
        blob = self._stored(threading)
        if blob is None:
            return False
        try:
            self._use(self._core.import_model(blob, "CPU", self._settings(threading)))
        except RuntimeError:
            # a file from another version of OpenVINO is useless: compile the network again
            return False
        return True

    def _library(self) -> str:
        return f"openvino {self._vino.__version__}"

    def _use(self, compiled: Any) -> None:
        """Use this compiled network in all later forward passes."""
        # an OpenVINO request (memory for one forward pass) belongs to one network: discard the old
        # requests; each thread creates a new one when needed
        self._compiled, self._requests = compiled, threading.local()

    def _embed(self, pixels: Pixels) -> Vectors:
        if not hasattr(self._requests, "own"):
            self._requests.own = self._compiled.create_infer_request()
        self._requests.own.infer([pixels])
        return np.array(self._requests.own.get_output_tensor().data, dtype=np.float32)

    def _settings(self, threading: Threading) -> dict[str, Any]:
        """Return OpenVINO's settings: arithmetic, parallel streams (workers) and threads."""
        return {
            "INFERENCE_PRECISION_HINT": HINTS[self._extractor.precision],
            "NUM_STREAMS": threading.workers,
            "INFERENCE_NUM_THREADS": threading.workers * threading.threads,
        }

    def _converted(self) -> Any:
        with warnings.catch_warnings():
            # OpenVINO calls a deprecated tracer of PyTorch; hide the warnings, because the user
            # cannot change this
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            model = self._vino.convert_model(
                ready(self._make(), self._extractor, torch.float32),
                example_input=torch.zeros((1, *self._shape), dtype=torch.uint8),
                input=[-1, *self._shape],
            )
        if self._extractor.precision != "int8":
            return model
        return self._quantised(model)

    def _quantised(self, model: Any) -> Any:
        """Convert a network to 8-bit integers; print how much this changes its embeddings."""
        nncf = need("nncf", extra=EXTRA)
        start = time.perf_counter()
        # fix the batch size: with a variable one, OpenVINO computes wrong biases in int8 graphs
        # with the operator Range, also while NNCF calibrates them
        model.reshape([1, *self._shape])
        galaxies = nncf.Dataset(_galaxies(self._extractor.view, CALIBRATION))
        quantised = nncf.quantize(model, galaxies, subset_size=CALIBRATION)
        seconds = time.perf_counter() - start
        self._say(f"calibrated int8 on {CALIBRATION} synthetic galaxies in {seconds:.0f} s, kept")
        others = _galaxies(self._extractor.view, JUDGED, seed=1)
        # an int8 network runs some layers in bfloat16: compare with float32, so that the printed
        # numbers include the errors of both roundings
        exact = self._vectors(model, others, "f32")
        self._say(_loss(exact, self._vectors(quantised, others, HINTS["int8"])))
        return quantised

    def _vectors(self, model: Any, galaxies: list[npt.NDArray[np.uint8]], hint: str) -> Vectors:
        """Return the embeddings (n, dim) of galaxies, computed one galaxy at a time."""
        settings = {"INFERENCE_PRECISION_HINT": hint}
        request = self._core.compile_model(model, "CPU", settings).create_infer_request()
        rows = []
        for galaxy in galaxies:
            request.infer([galaxy])
            rows.append(np.array(request.get_output_tensor().data, dtype=np.float32))
        return np.concatenate(rows)


def _loss(exact: Vectors, rounded: Vectors) -> str:
    """Return a line that compares 8-bit and float32 embeddings: cosine, equal neighbours."""
    cosine, shared = directions_and_neighbours(exact, rounded)
    told = (
        f"int8 against float32 on {len(exact)} other synthetic galaxies: centred cosine "
        f"{cosine:.3f}, {shared:.0%} of {NEIGHBOURS} nearest neighbours"
    )
    if cosine >= CENTRED_COSINE and shared >= KEPT:
        return told
    return f"{told}; that is little, --precision bfloat16 keeps more"


def _galaxies(view: View, count: int, seed: int = 0) -> list[npt.NDArray[np.uint8]]:
    """Return simulated galaxies as input images for a network, each of shape (1, size, size, 3)."""
    if view.bands is not None:
        raise InputError("int8 is calibrated on pictures", rule="see no bands", found=view.bands)
    with tempfile.TemporaryDirectory() as folder:
        survey = draw_survey(folder, count, seed=seed, size=SIDE, progress=False)
        images = ImageSet.of(survey.images)
        return [to_views(images, row, (view,))[0][None] for row in range(len(images))]
