"""Read vectors of galaxies from the file formats of other programs."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gzfeatures.errors import InputError, need, parsing
from gzfeatures.features.exchange.vector_columns import Column, ForeignVectors, foreign_vectors
from gzfeatures.files import join_inside, require_file
from gzfeatures.ids import Ids, as_ids
from gzfeatures.tablefiles.parquet_size import read_parquet_file
from gzfeatures.tablefiles.tables import read_table

MOST_BYTES = 2**36
"""Largest array in bytes that is read; a damaged header may claim more."""
MOST_COLUMNS = 100_000
"""Most columns or arrays of a file."""
TENSOR_SHAPE = b"tensor_shape"
"""Key of a schema under which hyrax writes the shape of its outputs, as JSON."""


def read_vectors(
    path: str | Path,
    id_column: str | None = None,
    vector: str | None = None,
    ids_file: str | Path | None = None,
) -> ForeignVectors:
    """Read the vectors of galaxies from a file that another program wrote.

    The vectors may be a column of lists, an array of two axes, or one column per number (`feat_0`,
    `feat_1`, …, as zoobot writes them). By default an AnnData file (.h5ad) has them in `X`, and a
    result of hyrax in `data`, with their shape in the metadata.

    Parameters
    ----------
    path : str or Path
        The ending tells the format: .parquet, .pq, .feather, .arrow, .csv, .tsv, .npz, .npy, .h5,
        .hdf5, .h5ad, or a folder that ends in .lance.
    id_column : str, optional
        Column or array of the ids; by default one with a usual name, such as `galaxy_id`.
    vector : str, optional
        Column or array of the vectors, `feat_*` for many columns; by default the only column that
        may be vectors.
    ids_file : str or Path, optional
        File with the ids, if the vectors have none (.npy): one a line, in the vectors' order.

    Returns
    -------
    ForeignVectors
        Rows may hold NaN; ids are exact.

    Raises
    ------
    MissingFileError, MissingExtraError, InputError
        No such file; Lance is not installed; the file is damaged, of another format, or no vectors
        are recognised in it (see `foreign_vectors`).
    """
    file = require_file(path, "file of vectors")
    ending = file.suffix.lower()
    if file.is_dir() != (ending == ".lance") or ending not in _READERS:
        raise InputError(
            "unknown kind of vectors",
            where=file,
            rule=f"end in {', '.join(_READERS)}",
            found=ending or "a folder",
        )
    ids = None if ids_file is None else ids_of_file(ids_file)
    if ids is not None and id_column is not None:
        raise InputError("ids", where=file, rule="come from --id or --ids-file, not from both")
    with parsing("file of vectors cannot be read", file):
        try:
            columns = _READERS[ending](file, id_column, vector)
        except pa.ArrowMemoryError as error:
            # a damaged file can claim a huge array, which exceeds any memory: report the file as
            # damaged, not the memory as full
            raise ValueError(f"it asks for more memory than there is: {error}") from error
        if vector is None and ending == ".h5ad":
            vector = "X"
        return foreign_vectors(columns, file, id_column, vector, ids)


def ids_of_file(path: str | Path) -> Ids:
    """Return galaxy ids from a table with an id column, or from a text file with one id per line.

    Raises
    ------
    MissingFileError, InputError
        No such file; it is no text in UTF-8, or its table has no column of ids.
    """
    file = require_file(path, "file of ids")
    if file.suffix.lower() in (".txt", ""):
        with parsing("ids cannot be read", file, rule="be UTF-8, one in each line"):
            lines = file.read_text("utf-8-sig").splitlines()
        return as_ids([line.strip() for line in lines if line.strip()] or [], where=file)
    from gzfeatures.galaxies.catalogs.catalog import Catalog

    return Catalog.read(file).ids


def _parquet(path: Path, _: str | None, vector: str | None) -> dict[str, Column]:
    return arrow_columns(read_parquet_file(path, verified=True), vector)


def _feather(path: Path, _: str | None, vector: str | None) -> dict[str, Column]:
    from pyarrow import feather

    return arrow_columns(feather.read_table(path, memory_map=False), vector)


def _csv(path: Path, id_column: str | None, __: str | None) -> dict[str, Column]:
    frame = read_table(path, id_column=id_column)
    for name in map(str, frame):
        # pandas renames a second column feat_2 to feat_2.1, which would be left out without a
        # warning
        first, _, copy = name.rpartition(".")
        if copy.isdigit() and first[-1:].isdigit() and first in frame:
            raise InputError("two columns have one name", where=path, found=first)
    return {
        str(name): pa.chunked_array([pa.array(frame[name], from_pandas=True)]) for name in frame
    }


def _lance(path: Path, _: str | None, vector: str | None) -> dict[str, Column]:
    # Lance follows symbolic links, so refuse links that lead to files outside the folder
    for each in path.rglob("*"):
        join_inside(path, str(each.relative_to(path)))
    return arrow_columns(need("lance", extra="lance").dataset(str(path)).to_table(), vector)


def arrow_columns(table: pa.Table, vector: str | None = None) -> dict[str, Column]:
    """Return the columns of an Arrow table by name; refuse feature maps as vectors.

    Parameters
    ----------
    table : Table
        Table with, if the program hyrax wrote it, the shape of the vectors in the metadata.
    vector : str, optional
        Name of the column of vectors, if the user gave one.

    Raises
    ------
    InputError
        Two columns have one name; lists have another length than the shape in the metadata; or
        they are feature maps of several axes, and `vector` does not name this column.
    """
    if len(set(table.column_names)) < len(table.column_names):
        raise InputError("two columns have one name", rule="be named apart")
    for name, shape in _cell_sides(table.schema):
        kind = table.schema.field(name).type
        if kind.list_size != math.prod(shape):
            raise InputError(
                "lists have another length than the shape in the file's metadata",
                where=f"column {name}",
                rule=f"hold {' x '.join(map(str, shape))} numbers",
                found=kind.list_size,
            )
        if sum(side > 1 for side in shape) > 1 and vector != name:
            raise InputError(
                f"outputs of shape {' x '.join(map(str, shape))} are maps, no vectors",
                where=f"column {name}",
                rule="have one axis",
                remedy=f"pool them before they are written, or take all numbers: --vector {name}",
            )
    return dict(zip(table.column_names, table.columns, strict=True))


def _cell_sides(schema: pa.Schema) -> Iterator[tuple[str, list[int]]]:
    """Yield names of list columns, and the array shape of a cell, stored by the program hyrax."""
    text = (schema.metadata or {}).get(TENSOR_SHAPE)
    if text is None:
        return
    shape = json.loads(text)
    if not isinstance(shape, list) or not all(
        isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in shape
    ):
        raise InputError("tensor_shape of the file's metadata", rule="be sides", found=str(shape))
    lists = [field.name for field in schema if pa.types.is_fixed_size_list(field.type)]
    # the shape belongs to hyrax's own column `data`: if other programs added lists, use only `data`
    for name in lists if len(lists) == 1 else ({"data"} & set(lists)):
        yield name, shape


def _npy(path: Path, _: str | None, __: str | None) -> dict[str, Column]:
    with path.open("rb") as file:
        return {"array": _array(file, path.stat().st_size, path)}


def _npz(path: Path, _: str | None, __: str | None) -> dict[str, Column]:
    arrays: dict[str, Column] = {}
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > MOST_COLUMNS:
            raise InputError("npz holds too many arrays", where=path, found=len(members))
        for member in members:
            with archive.open(member) as file:
                name = member.filename.removesuffix(".npy")
                array = _array(file, member.file_size, f"{path}, {name}")
            # a single number, such as a version number, has no rows, so it cannot be a column
            if array.ndim:
                arrays[name] = array
    return arrays


def _array(file: IO[bytes], size: int, where: object) -> npt.NDArray[Any]:
    """Read one array in NumPy's format; refuse pickled objects, and a header that claims too much.

    The header states shape and type; if these need more data than the file has, the array is
    refused before memory is allocated.
    """
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise InputError("version of a NumPy array", where=where, rule="be 1 or 2", found=version)
    header = (
        np.lib.format.read_array_header_1_0(file)
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0(file)
    )
    shape, fortran, kind = header
    count = int(np.prod([*shape, 1], dtype=object))
    if kind.hasobject or kind.names:
        raise InputError("array", where=where, rule="hold numbers or texts", found=str(kind))
    if count * kind.itemsize > min(size, MOST_BYTES):
        raise InputError(
            "array is longer than what the file holds", where=where, found=(shape, str(kind))
        )
    values = np.frombuffer(file.read(count * kind.itemsize), dtype=kind, count=count)
    native = values.astype(kind.newbyteorder("="), copy=False)
    return native.reshape(shape, order="F" if fortran else "C")


def _hdf5(path: Path, _: str | None, __: str | None) -> dict[str, Column]:
    import h5py

    with h5py.File(path, "r") as file:
        return _datasets(file, path)


def _datasets(group: Any, path: Path) -> dict[str, Column]:
    """Return the HDF5 datasets of a group that hold numbers or text, by name."""
    import h5py

    if len(group) > MOST_COLUMNS:
        raise InputError("HDF5 group is too large", where=path, found=len(group))
    found: dict[str, Column] = {}
    for name in group:
        # soft and external links may lead to another file, so read only data stored in this file
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue
        entry = group[name]
        if isinstance(entry, h5py.Dataset) and entry.shape and not entry.dtype.names:
            found[str(name)] = _dataset(entry, path)
    return found


def _dataset(dataset: Any, path: Path) -> Column:
    """Return one HDF5 dataset as an array; text is decoded from UTF-8."""
    import h5py

    if dataset.external or dataset.is_virtual:
        raise InputError("array points into another file", where=path, found=dataset.name)
    size = dataset.size * dataset.dtype.itemsize
    # zlib compresses at most 1,032 bytes into one, so a larger claimed size is a damaged or hostile
    # header
    if size > min(MOST_BYTES, 1032 * (dataset.id.get_storage_size() + 4096)):
        raise InputError(
            "array is longer than what the file holds", where=path, found=dataset.shape
        )
    if h5py.check_string_dtype(dataset.dtype) is not None and dataset.ndim == 1:
        cells = dataset[()].tolist()
        raw = [cell.encode() if isinstance(cell, str) else bytes(cell) for cell in cells]
        texts = [cell.rstrip(b" \0").decode("utf-8") for cell in raw]
        return pa.chunked_array([pa.array(texts, pa.large_string())])
    values = np.asarray(dataset[()])
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _anndata(path: Path, id_column: str | None, _: str | None) -> dict[str, Column]:
    """Return arrays of an AnnData file by name: `X`, those of `obsm`, and the row names."""
    import h5py

    with h5py.File(path, "r") as file:
        found: dict[str, Column] = {}
        for name in ("X", *(f"obsm/{each}" for each in file.get("obsm", {}))):
            entry = file.get(name)
            if isinstance(entry, h5py.Group):
                raise InputError(
                    "matrix is sparse",
                    where=f"{path}, {name}",
                    rule="be an array",
                    remedy="store it with .X = .X.toarray()",
                )
            if isinstance(entry, h5py.Dataset) and entry.ndim == 2:
                found[name] = _dataset(entry, path)
        obs = file.get("obs")
        if not isinstance(obs, h5py.Group) or "_index" not in obs.attrs:
            raise InputError("no AnnData file", where=path, rule="have a group obs with an index")
        index = str(obs.attrs["_index"])
        columns = _datasets(obs, path)
        if index not in columns:
            raise InputError("index of obs", where=path, rule="be an array of texts", found=index)
        return found | columns | ({} if id_column else {"galaxy_id": columns[index]})


_READERS: dict[str, Callable[[Path, str | None, str | None], dict[str, Column]]] = {
    ".parquet": _parquet,
    ".pq": _parquet,
    ".feather": _feather,
    ".arrow": _feather,
    ".csv": _csv,
    ".tsv": _csv,
    ".npz": _npz,
    ".npy": _npy,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
    ".h5ad": _anndata,
    ".lance": _lance,
}
"""Reader of each file ending: columns and arrays by name."""
