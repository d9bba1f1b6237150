"""Convert embedding tables to arrays, data frames, tensors and AnnData; print them briefly."""

from __future__ import annotations

import importlib
import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gzfeatures import brief
from gzfeatures.errors import need, require_packages
from gzfeatures.features.extractor import Extractor
from gzfeatures.ids import Ids


class TableConversions:
    """Give `EmbeddingTable` methods that convert it to arrays, data frames, tensors and AnnData."""

    ids: Ids
    digests: npt.NDArray[np.object_]
    matrix: npt.NDArray[np.float32]
    extractor: Extractor
    skipped: tuple[tuple[str, str], ...]

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        """Return the vectors as an array, shape (n, dim), so that NumPy functions accept a table.

        Parameters
        ----------
        dtype : dtype, optional
            Of the array; default float32.
        copy : bool, optional
            True always copies; False refuses an array that needs a copy (NumPy 2).
        """
        matrix = np.asarray(self.matrix)
        other = dtype is not None and np.dtype(dtype) != matrix.dtype
        if copy is False and other:
            raise ValueError(f"a table as {np.dtype(dtype)} needs a copy: it holds {matrix.dtype}")
        return np.array(matrix, dtype=dtype) if copy or other else matrix

    def __repr__(self) -> str:
        """Return the table's size, backbone and layer in one line."""
        size = f"{brief.count(len(self.ids), 'galaxy')} × {self.matrix.shape[1]} numbers"
        return brief.line("EmbeddingTable", size, self.extractor.backbone, self.extractor.layer)

    def _repr_html_(self) -> str:
        """Return the table's size, network, layer and first rows as HTML for a notebook."""
        facts = {
            "backbone": self.extractor.backbone,
            "layer": self.extractor.layer,
            "view": str(self.extractor.view),
            "skipped": len(self.skipped) or None,
        }
        first = pd.DataFrame(self.matrix[:5], index=pd.Index(self.ids[:5], name="galaxy_id"))
        return brief.html(
            repr(self), facts, first.to_html(max_cols=8, float_format="{:.3g}".format)
        )

    def to_numpy(self) -> npt.NDArray[np.float32]:
        """Return a copy of the vectors, float32, shape (n, dim)."""
        return np.array(self.matrix)

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame indexed by `galaxy_id`, with columns `vector_0`, `vector_1`, …."""
        columns = [f"vector_{number}" for number in range(self.matrix.shape[1])]
        return pd.DataFrame(
            self.to_numpy(), index=pd.Index(self.ids, name="galaxy_id"), columns=columns
        )

    def to_torch(self) -> Any:
        """Return a copy of the vectors as a tensor on the CPU, float32, shape (n, dim).

        Raises
        ------
        MissingExtraError
            PyTorch is not installed.
        """
        require_packages("a tensor", "torch")
        torch = importlib.import_module("torch")
        return torch.from_numpy(self.to_numpy())

    def to_anndata(self) -> Any:
        """Return the table as `anndata.AnnData`: vectors in `X`, sha256 of each image in `obs`.

        `uns["gzfeatures"]` holds the extractor as JSON, as in a file of `gzfeatures table export`.

        Raises
        ------
        MissingExtraError
            anndata is not installed.
        """
        anndata = need("anndata", "anndata")
        # AnnData accepts only text as names of rows and columns
        rows = pd.DataFrame({"image_sha256": self.digests.astype(str)}, index=self.ids.astype(str))
        columns = pd.DataFrame(index=[f"vector_{number}" for number in range(self.matrix.shape[1])])
        record = {"gzfeatures": json.dumps({"extractor": self.extractor.asdict()})}
        return anndata.AnnData(self.to_numpy(), obs=rows, var=columns, uns=record)
