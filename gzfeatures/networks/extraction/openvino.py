"""Run a network in OpenVINO, in floating point or in 8-bit integers.

For int8 each layer's range is measured on galaxies of the synthetic survey, which every machine
draws alike: so the precision's name says all about the vectors, and no user's images change
another's.
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
from gzfeatures.networks.extraction.plan import Pixels, Vectors
from gzfeatures.networks.extraction.preprocess import to_views
from gzfeatures.networks.hardware import load_newest_tbb
from gzfeatures.synthetic.survey import draw_survey

EXTRA = "openvino"
HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "bf16"}
"""Arithmetic of layers that are not quantised, by precision."""
CALIBRATION, SIDE = 300, 424
"""Number of simulated galaxies that calibrate int8, and their side in pixels (Galaxy Zoo's)."""
JUDGED, KEPT = 48, 0.8
"""Number of other simulated galaxies on which int8 is compared with float32, and the least share of
nearest neighbours that is not called little: ResNet-50 and GoogLeNet, whose heads lose nothing to
int8, keep .83 and more, MobileNetV2 .74."""


class OpenVinoForward(Forward):
    """Run a network in OpenVINO, converted in a few seconds and stored for the next run.

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
            # another version of OpenVINO wrote the file, so the network must be compiled again
            return False
        return True

    def _library(self) -> str:
        return f"openvino {self._vino.__version__}"

    def _use(self, compiled: Any) -> None:
        """Use a compiled network in all later forward passes."""
        # each worker needs its own request, because threads cannot share a request safely
        self._compiled, self._requests = compiled, threading.local()

    def _embed(self, pixels: Pixels) -> Vectors:
        if not hasattr(self._requests, "own"):
            self._requests.own = self._compiled.create_infer_request()
        self._requests.own.infer([pixels])
        return np.array(self._requests.own.get_output_tensor().data, dtype=np.float32)

    def _settings(self, threading: Threading) -> dict[str, Any]:
        """Return OpenVINO's settings, with one stream per worker."""
        return {
            "INFERENCE_PRECISION_HINT": HINTS[self._extractor.precision],
            "NUM_STREAMS": threading.workers,
            "INFERENCE_NUM_THREADS": threading.workers * threading.threads,
        }

    def _converted(self) -> Any:
        with warnings.catch_warnings():
            # silence warnings of PyTorch about the old kind of tracing that OpenVINO calls: the
            # user cannot change it
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
        """Convert a network to 8-bit integers, and print how much this changes its embeddings."""
        nncf = need("nncf", extra=EXTRA)
        start = time.perf_counter()
        # fix the batch size first: with an open batch size, OpenVINO runs int8 convolutions with
        # wrong biases where the graph has an operator Range, also while NNCF corrects biases
        model.reshape([1, *self._shape])
        galaxies = nncf.Dataset(_galaxies(self._extractor.view, CALIBRATION))
        quantised = nncf.quantize(model, galaxies, subset_size=CALIBRATION)
        seconds = time.perf_counter() - start
        self._say(f"calibrated int8 on {CALIBRATION} synthetic galaxies in {seconds:.0f} s, kept")
        others = _galaxies(self._extractor.view, JUDGED, seed=1)
        # compare with float32, although an int8 network computes its other layers in bfloat16, so
        # that the difference shows the losses of both
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
    """Return one line that compares embeddings computed in 8-bit integers and in float32."""
    cosine, shared = directions_and_neighbours(exact, rounded)
    told = (
        f"int8 against float32 on {len(exact)} other synthetic galaxies: centred cosine "
        f"{cosine:.3f}, {shared:.0%} of {NEIGHBOURS} nearest neighbours"
    )
    if cosine >= CENTRED_COSINE and shared >= KEPT:
        return told
    return f"{told}; that is little, --precision bfloat16 keeps more"


def _galaxies(view: View, count: int, seed: int = 0) -> list[npt.NDArray[np.uint8]]:
    """Return simulated galaxies as a network's input images, each of shape (1, size, size, 3)."""
    if view.bands is not None:
        raise InputError("int8 is calibrated on pictures", rule="see no bands", found=view.bands)
    with tempfile.TemporaryDirectory() as folder:
        survey = draw_survey(folder, count, seed=seed, size=SIDE, progress=False)
        images = ImageSet.of(survey.images)
        return [to_views(images, row, (view,))[0][None] for row in range(len(images))]
