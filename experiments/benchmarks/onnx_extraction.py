"""Extraction through an ONNX file against the bare pass of its library, in interleaved pairs.

    nice -n 10 python experiments/benchmarks/onnx_extraction.py FOLDER [--network resnet50]
        [--size 224] [--count 96] [--pairs 5] [--runtimes onnxruntime openvino]

The network (random weights, which do not change the speed) is written to an ONNX file of
normalised float32 images. The bare pass asks the library alone for batches of tensors that are
decoded, resized and normalised already, with the batch and threads that the extraction uses. The
adapter takes 8-bit pixels in memory; `extract` goes from JPEGs to vectors in an empty store, from
its first batch to its last. Printed are images per second by the clock and by the processors, and
how many times the bare pass's rate each reaches: median and range over the pairs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import torchvision
from extraction import Watch

from gzfeatures.features.store import Store
from gzfeatures.images.image_set import ImageSet
from gzfeatures.images.view import View
from gzfeatures.networks.encoders.described import described
from gzfeatures.networks.encoders.onnx_files import OnnxSession, read_graph
from gzfeatures.networks.extraction.cpu import PER_THREAD, CpuEngine
from gzfeatures.networks.extraction.extract import extract
from gzfeatures.networks.extraction.jobs.job import Job
from gzfeatures.networks.extraction.network_crops import to_views

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Run = Callable[[], tuple[int, float, float]]


def onnx_file(network: str, size: int, folder: Path) -> Path:
    """Write a network of torchvision without its classifier, and its pixels beside it."""
    torch.manual_seed(0)
    module = torchvision.models.get_model(network, weights=None).eval()
    module.fc = torch.nn.Identity()
    batch = ({0: torch.export.Dim("n", min=1, max=512)},)
    program = torch.onnx.export(
        module, (torch.zeros(2, 3, size, size),), dynamo=True, dynamic_shapes=batch, verbose=False
    )
    program.save(str(folder / "encoder.onnx"), external_data=False)
    pixels = {"input_size": [3, size, size], "mean": MEAN, "std": STD, "crop_pct": 1.0}
    pixels["interpolation"] = "bilinear"
    (folder / "config.json").write_text(json.dumps({"pretrained_cfg": pixels}))
    return folder / "encoder.onnx"


def bare(file: Path, library: str, pixels: np.ndarray, batch: int, threads: int) -> Run:
    """The library alone, on normalised tensors in memory."""
    images = (pixels / np.float32(255) - np.float32(MEAN)) / np.float32(STD)
    tensors = np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)
    batches = [tensors[start : start + batch] for start in range(0, len(tensors), batch)]
    if library == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(file), options)
        name = session.get_inputs()[0].name

        def ask(part: np.ndarray) -> None:
            session.run(None, {name: part})
    else:
        import openvino

        model = openvino.Core().read_model(str(file))
        model.reshape([batch, *tensors.shape[1:]])
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()

        def ask(part: np.ndarray) -> None:
            request.infer([part])

    def run() -> tuple[int, float, float]:
        watch = Watch()
        for part in batches:
            ask(part)
        return watch.stop(len(pixels))

    return run


def adapter(session: OnnxSession, pixels: np.ndarray, batch: int) -> Run:
    """What `extract` asks: vectors of 8-bit pixels in memory."""

    def run() -> tuple[int, float, float]:
        watch = Watch()
        for start in range(0, len(pixels), batch):
            session(pixels[start : start + batch])
        return watch.stop(len(pixels))

    return run


def whole(images: ImageSet, backbone: str, library: str, kept: Path) -> Run:
    """`extract` from JPEGs to vectors, without its start."""
    watch, pool, raise_bad = Watch(), CpuEngine.pool, Job.raise_bad
    ended: list[tuple[int, float, float]] = []

    def ready(engine: CpuEngine) -> ThreadPoolExecutor:
        watch.start()
        return pool(engine)

    def done(job: Job) -> None:
        ended.append(watch.stop(len(images)))
        raise_bad(job)

    def run() -> tuple[int, float, float]:
        for shard in kept.glob("*/*.arrow"):
            shard.unlink()
        with (
            mock.patch.object(CpuEngine, "pool", ready),
            mock.patch.object(Job, "raise_bad", done),
        ):
            extract(images, backbone, runtime=library, store=Store(kept), progress=False)
        return ended[-1]

    return run


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", help="folder of images")
    parser.add_argument("--network", default="resnet50")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--count", type=int, default=96)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--runtimes", nargs="+", default=["onnxruntime", "openvino"])
    given = parser.parse_args()
    images = ImageSet.of(given.folder)
    if len(images) < given.count:
        sys.exit(f"{given.folder} holds {len(images)} images, {given.count} are needed")
    images = images.select(images.ids[: given.count])
    view = View(size=given.size)
    pixels = np.stack([to_views(images, row, (view,))[0] for row in range(len(images))])
    threads = torch.get_num_threads()
    batch = PER_THREAD * threads
    print(f"{given.network}, {given.size} px, {given.count} images, {threads} threads")
    with tempfile.TemporaryDirectory() as place:
        file = onnx_file(given.network, given.size, Path(place))
        spec = described(f"onnx:{file}")
        for library in given.runtimes:
            session = OnnxSession(spec, read_graph(file), spec.layer, library, threads, batch)
            runs = {
                "bare": bare(file, library, pixels, batch, threads),
                "adapter": adapter(session, pixels, batch),
                "extract": whole(images, f"onnx:{file}", library, Path(place) / "store"),
            }
            compared(library, runs, given.pairs)


def compared(library: str, runs: dict[str, Run], pairs: int) -> None:
    """Print rates of all, and ratios to the bare pass of the same round."""
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for number in range(pairs + 1):
        for name, run in runs.items():
            images, clock, processors = run()
            if number:  # the first round warms up
                rates[name].append((images / clock, images / processors))
    for name, values in rates.items():
        line = f"  {library:12} {name:8}"
        for which, word in enumerate(("clock", "processors")):
            mine = [value[which] for value in values]
            ratios = sorted(
                here[which] / there[which]
                for here, there in zip(values, rates["bare"], strict=True)
            )
            line += f"  {word} {statistics.median(mine):5.1f}/s, "
            line += f"{statistics.median(ratios):.3f} ({ratios[0]:.3f}–{ratios[-1]:.3f})"
        print(line, flush=True)


if __name__ == "__main__":
    main()
