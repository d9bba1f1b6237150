"""Write a backbone as an ONNX graph that turns 8-bit pixels into float32 embeddings."""

from __future__ import annotations

import copy
import dataclasses
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from gzfeatures.errors import InputError, WeightsError, need
from gzfeatures.features.extractor import Extractor
from gzfeatures.features.weights import RANDOM
from gzfeatures.networks.encoders.described import described, digest_of, encoder_of
from gzfeatures.networks.extraction.forward import Body
from gzfeatures.networks.models.load import load

EXTRA = "onnx"
PIXELS, VECTORS = "pixels", "vectors"
BATCH = 32
"""Images per forward pass in PyTorch, with which the graph is compared."""


@dataclasses.dataclass(frozen=True, eq=False)
class PortableBackbone:
    """Store a backbone's PyTorch network; write it as an ONNX graph, and compute with it.

    Parameters
    ----------
    extractor : Extractor
        How embeddings are made; its normalisation and symmetries become part of the graph.
    network : nn.Module
        Network from normalised images to embeddings, in eval mode.
    licence : str
        Licence of the weights.
    """

    extractor: Extractor
    network: nn.Module
    licence: str

    @classmethod
    def of(
        cls,
        extractor: Extractor,
        backbone: str | Path | None = None,
        weights: str | Path | None = None,
    ) -> PortableBackbone:
        """Load the network that made given embeddings; refuse weights that did not make them.

        Parameters
        ----------
        extractor : Extractor
        backbone : str or Path, optional
            Path of the network, if it moved; by default its name.
        weights : str or Path, optional
            Weights file, if it is not the backbone's own.

        Raises
        ------
        InputError, WeightsError, MissingFileError, UnknownNameError
            The embeddings were imported, or are from an ONNX file or from bands; or the network is
            not available, or has other weights.
        """
        if extractor.is_imported or extractor.architecture.startswith("onnx:"):
            raise InputError(
                "backbone cannot be exported",
                where=extractor.backbone,
                rule="be a network of PyTorch that is known here",
                remedy="export the head alone: --from vectors",
            )
        if extractor.view.bands is not None:
            raise InputError(
                "backbone of bands cannot be exported",
                where=extractor.backbone,
                found=extractor.view.bands,
                remedy="export the head alone: --from vectors",
            )
        if weights is None and extractor.weights == RANDOM:
            weights = "none"
        spec = described(backbone or extractor.backbone, weights)
        digest = digest_of(backbone or extractor.backbone, spec, weights)
        if digest != extractor.weights:
            raise WeightsError(
                "backbone has other weights than the head was fitted on",
                where=extractor.backbone,
                remedy="name them: --backbone NAME --weights FILE",
            )
        size = extractor.view.size
        if spec.kind:
            network = encoder_of(backbone or extractor.backbone, spec, extractor.layer, size)
        else:
            network = load(spec, weights, extractor.layer, size)
        return cls(extractor, network, spec.licence)

    def vectors(
        self, pixels: npt.NDArray[np.uint8], precision: str = "float32"
    ) -> npt.NDArray[np.float32]:
        """Return the embeddings (n, dim) of pixels (n, size, size, 3), computed by PyTorch."""
        body = self._body(precision)
        with torch.inference_mode():
            parts = [
                body(torch.from_numpy(pixels[start : start + BATCH])).numpy()
                for start in range(0, len(pixels), BATCH)
            ]
        return np.concatenate(parts)

    def graph(self, opset: int, batch: int | None = None) -> Any:
        """Return the ONNX model from `pixels`, uint8 (n, size, size, 3), to `vectors` (n, dim).

        Parameters
        ----------
        opset : int
            Version of ONNX's operators.
        batch : int, optional
            Fixed number n of images; None lets it vary. A graph that will be converted to 8-bit
            integers needs a fixed n: with a variable n, OpenVINO computes wrong biases.

        Raises
        ------
        MissingExtraError, InputError
            onnx or onnxscript is not installed; PyTorch cannot export the network.
        """
        need("onnx", extra=EXTRA)
        need("onnxscript", extra=EXTRA)
        size = self.extractor.view.size
        example = torch.zeros((batch or 2, size, size, 3), dtype=torch.uint8)
        shapes = None if batch else ({0: torch.export.Dim("n", min=1, max=4096)},)
        logger = logging.getLogger("torch.onnx")
        level = logger.level
        try:
            # hide the exporter's many messages: errors are raised, and the graph is compared with
            # PyTorch later
            logger.setLevel(logging.CRITICAL)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                program = torch.onnx.export(
                    self._body("float32"),
                    (example,),
                    input_names=[PIXELS],
                    output_names=[VECTORS],
                    dynamic_shapes=shapes,
                    opset_version=opset,
                    dynamo=True,
                    external_data=False,
                    verbose=False,
                )
        except Exception as error:
            # the exporter raises errors of many types without a common base class
            reason = str(error).strip().partition("\n")[0]
            raise InputError(
                "PyTorch cannot export the backbone",
                where=self.extractor.backbone,
                found=f"{type(error).__name__}: {reason}",
                remedy="export the head alone: --from vectors",
            ) from error
        finally:
            logger.setLevel(level)
        if program is None:
            raise InputError("PyTorch wrote no graph", where=self.extractor.backbone)
        return program.model_proto

    def _body(self, precision: str) -> nn.Module:
        # Body changes the precision of the network it gets, so pass a copy
        network = copy.deepcopy(self.network)
        return Body(network, self.extractor, getattr(torch, precision)).eval()
