"""Store the settings with which embeddings are computed, such as backbone, layer and precision."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, cast

from gzfeatures.errors import InputError, unknown
from gzfeatures.features.backbones import DEFAULT, Backbone, foreign_kind, is_foreign
from gzfeatures.features.backbones import backbone as backbone_of
from gzfeatures.features.extractor import Extractor
from gzfeatures.features.store import Store
from gzfeatures.features.weights import RANDOM, training_record, weights_digest, weights_file
from gzfeatures.images.view import View
from gzfeatures.networks import hardware
from gzfeatures.progress import SILENT, Progress, handed

if TYPE_CHECKING:
    from gzfeatures.networks.encoders.described import AnyBackbone

ENGINES = ("local", "ray")


def extractor_of(
    backbone: AnyBackbone,
    *,
    weights: str | Path | None = None,
    layer: str | None = None,
    view: View | None = None,
    precision: str = "float32",
    runtime: str = "torch",
    dihedral: bool = False,
    progress: Progress = SILENT,
) -> Extractor:
    """Return the settings that decide an embedding (`Extractor`), such as weights, layer and crop.

    No network is loaded.

    Parameters
    ----------
    backbone, weights, layer, view, dihedral
        As for `Extraction`.
    precision : {"float32", "bfloat16", "float16", "int8"}
        Arithmetic of the forward pass.
    runtime : {"torch", "openvino", "onnxruntime"}
        Library that runs the network.
    progress : Progress
        Shows a download of weights; nothing by default.

    Raises
    ------
    UnknownNameError, MissingFileError, WeightsError
        Unknown backbone or layer; weights are not available.
    InputError
        The view has another number of bands than the network.
    """
    if _is_foreign(backbone):
        return _foreign_extractor(backbone, weights, layer, view, precision, runtime, dihedral)
    spec = backbone_of(cast("str | Path | Backbone", backbone))
    view, layer = view or spec.view, layer or spec.layer
    bands = len(view.bands or "rgb")
    if bands != spec.bands:
        raise InputError("view", where=spec.name, rule=f"have {spec.bands} bands", found=bands)
    path, dim = weights_file(spec, weights), spec.dim
    # torch takes seconds to import, so import it only to download weights, or to find the length of
    # another layer's output
    if path is not None and not path.exists():
        from gzfeatures.networks.models.load import fetch

        fetch(spec, path, progress)
    if layer != spec.layer:
        from gzfeatures.networks.models.load import layer_dim

        dim = layer_dim(spec, layer, view.size)
    digest = weights_digest(spec, path)
    return Extractor(
        backbone=spec.name,
        architecture=spec.architecture,
        weights=digest,
        layer=layer,
        dim=dim,
        view=view,
        mean=spec.mean,
        std=spec.std,
        precision=precision,
        engine=runtime,
        stride_on=spec.stride_on,
        trained_on=training_record(spec, path, digest),
        dihedral=dihedral,
    )


def description_of(backbone: AnyBackbone, weights: str | Path | None = None) -> Backbone:
    """Return the backbone that is given by name, checkpoint folder, TOML file or PyTorch module.

    Another library, such as timm, is imported only for an encoder of this library.
    """
    if not _is_foreign(backbone):
        return backbone_of(cast("str | Path | Backbone", backbone))
    from gzfeatures.networks.encoders.described import described

    return described(backbone, weights)


def _is_foreign(backbone: object) -> bool:
    """Return whether a backbone is from another library, such as timm; import no library."""
    if isinstance(backbone, Backbone):
        return bool(backbone.kind)
    if isinstance(backbone, (str, Path)):
        return is_foreign(str(backbone))
    return True


def _foreign_extractor(
    backbone: AnyBackbone,
    weights: str | Path | None,
    layer: str | None,
    view: View | None,
    precision: str,
    runtime: str,
    dihedral: bool,
) -> Extractor:
    """Return the settings (`Extractor`) that decide an embedding by another library's encoder."""
    from gzfeatures.networks.encoders.described import described, digest_of, length_of_layer

    spec = described(backbone, weights)
    view, layer, dim = view or spec.view, layer or spec.layer, spec.dim
    bands = len(view.bands or "rgb")
    if bands != spec.bands:
        raise InputError("view", where=spec.name, rule=f"have {spec.bands} bands", found=bands)
    if layer != spec.layer or view.size != spec.view.size:
        dim = length_of_layer(backbone, spec, layer, view.size)
        # refuse an image size that changes the length of the vectors: then the network has a
        # pooling kernel of fixed size, made for other images
        if layer == spec.layer and dim != spec.dim:
            raise InputError(
                "encoder gives vectors of another length at this size",
                where=spec.name,
                rule=f"be {spec.dim}, as at {spec.view.size} px",
                found=dim,
                remedy=f"use --view size={spec.view.size}",
            )
    return Extractor(
        backbone=spec.name,
        architecture=spec.architecture,
        weights=digest_of(backbone, spec, weights),
        layer=layer,
        dim=dim,
        view=view,
        mean=spec.mean,
        std=spec.std,
        precision=precision,
        engine=runtime,
        dihedral=dihedral,
    )


@dataclasses.dataclass(frozen=True)
class Extraction:
    """Store the settings with which embeddings are computed: network, layer, crop, device, store.

    Parameters
    ----------
    backbone : str, Path, Backbone or HandedModule
        Name in `BACKBONES`, a fine-tuned checkpoint folder, an encoder of another library (see
        `encoders.described`), a module of the caller's own, or a Backbone.
    weights : str or Path, optional
        A file that replaces the backbone's own weights; "none" for a seeded random start.
    layer : str, optional
        Layer whose flattened output is the vector; default the backbone's pooled layer. The outputs
        of several layers, joined by +, are concatenated.
    view : View, optional
        Crop, size and colours of the network's input; default the backbone's.
    precision : {"auto", "float32", "bfloat16", "float16", "int8"}
        Arithmetic of the network; vectors of another precision are stored separately. auto follows
        the hardware, see `hardware.choose`.
    device : {"auto", "cpu", "cuda"}
    on_bad : {"raise", "skip"}
        Whether an image that cannot be read is an error, or is left out and listed in `skipped`.
    store : Store, optional
        Folder in which vectors are looked up and stored; required for computing vectors.
    batch_size, workers : int, optional
        Images per forward pass and decoding threads; chosen for the machine by default.
    progress : Progress or bool
        Shows lines, rate and remaining time; nothing by default. True prints to the terminal.
    engine : {"local", "ray"}
        Compute here, or on a Ray cluster (see `cluster`).
    address : str, optional
        Address of the Ray cluster to join; by default a cluster is started on this machine.
    runtime : {"auto", "torch", "openvino", "onnxruntime"}
        Library that runs the network on a CPU; vectors of another library are stored separately.
        auto is torch, but openvino for int8, and onnxruntime for ONNX files.
    dihedral : bool
        Average the vector over the 8 symmetries of the square, because a galaxy has no upper or
        left side. Eight times the work.
    store_precision : {"float32", "float16"}
        Precision of the numbers in table and store; vectors of another precision are stored
        separately. float16 takes half the bytes.

    Raises
    ------
    InputError
        A choice is not one of those, or a number is not positive.
    """

    backbone: AnyBackbone = DEFAULT
    weights: str | Path | None = None
    layer: str | None = None
    view: View | None = None
    precision: str = "auto"
    device: str = "auto"
    on_bad: str = "raise"
    store: Store | None = None
    batch_size: int | None = None
    workers: int | None = None
    progress: Progress | bool = False
    engine: str = "local"
    address: str | None = None
    runtime: str = "auto"
    dihedral: bool = False
    store_precision: str = "float32"

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise unknown("engine", self.engine, ENGINES)
        if self.on_bad not in ("raise", "skip"):
            raise InputError("on_bad", rule="be raise or skip", found=self.on_bad)
        for name, number in (("batch size", self.batch_size), ("workers", self.workers)):
            if number is not None and number < 1:
                raise InputError(name, rule="be at least 1", found=number)

    @classmethod
    def repeating(
        cls,
        extractor: Extractor,
        *,
        store: Store,
        backbone: str | Path | None = None,
        view: View | None = None,
        on_bad: str = "raise",
        progress: Progress | bool = False,
    ) -> Extraction:
        """Return settings that embed new images exactly as earlier images were embedded.

        Parameters
        ----------
        extractor : Extractor
            Extractor of the earlier vectors; random weights are drawn again from the same seed.
        store : Store
            Folder in which vectors are looked up and stored.
        backbone : str or Path, optional
            Path of the backbone, if it moved; by default its name.
        view : View, optional
            Crop and size of images, if other than those of the earlier vectors.
        on_bad, progress
            As for the class.

        Raises
        ------
        InputError
            Another program made the earlier vectors, with a network that is unknown here.
        """
        if extractor.is_imported:
            raise InputError(
                "vectors of images cannot be computed: another program made those of the head",
                where=extractor.backbone,
                remedy="import vectors of the new images with 'gzfeatures table import'",
            )
        if foreign_kind(extractor.architecture) and backbone is None:
            raise InputError(
                "the head knows the vectors of this encoder, not where the encoder lies",
                where=extractor.backbone,
                remedy="extract the images with --backbone, and give the table in their place",
            )
        return cls(
            backbone or extractor.backbone,
            weights="none" if extractor.weights == RANDOM else None,
            layer=extractor.layer,
            view=view or extractor.view,
            precision=extractor.precision,
            runtime=extractor.engine,
            dihedral=extractor.dihedral,
            store_precision=extractor.stored,
            on_bad=on_bad,
            store=store,
            progress=progress,
        )

    @property
    def hardware(self) -> hardware.Hardware:
        """Return the device, precision and library that this machine uses for these settings."""
        settings = {"device": self.device, "precision": self.precision, "runtime": self.runtime}
        if _is_foreign(self.backbone) or self.runtime == "onnxruntime":
            from gzfeatures.networks.encoders.described import require_settings

            settings = require_settings(self.backbone, settings)
        return hardware.choose(**settings)

    @property
    def extractor(self) -> Extractor:
        """Return the settings that determine an embedding (`Extractor`); load no network."""
        machine = self.hardware
        extractor = extractor_of(
            self.backbone,
            weights=self.weights,
            layer=self.layer,
            view=self.view,
            precision=machine.precision,
            runtime=machine.runtime,
            dihedral=self.dihedral,
            progress=handed(self.progress),
        )
        return dataclasses.replace(extractor, stored=self.store_precision)
