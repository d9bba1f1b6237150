"""Read the units of columns that astropy stores in the metadata of Parquet and HDF5 files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from xml.parsers import expat

_YAML = b"table_meta_yaml"
_VOTABLE = b"IVOA.VOTable-Parquet.content"
Units = dict[str, str]


def of_arrow(metadata: Mapping[bytes, bytes] | None) -> tuple[Units, list[str]]:
    """Return column units from the metadata of an Arrow schema, stored as YAML or as a VOTable.

    Parameters
    ----------
    metadata : mapping of bytes, or None
        Metadata of the Arrow schema.

    Returns
    -------
    units : dict of str to str
        Column → unit, as it is written.
    notes : list of str
        A message if the metadata have units that cannot be read.
    """
    metadata = metadata or {}
    for key, read in ((_YAML, of_yaml), (_VOTABLE, _of_votable)):
        if key in metadata:
            return read(metadata[key])
    return {}, []


def of_yaml(header: bytes) -> tuple[Units, list[str]]:
    """Return column units from the YAML header that astropy writes for a table.

    The format is Astropy Proposal for Enhancement 6. Only the list of columns is read, and only as
    text: a YAML tag in the list creates no Python object.

    Examples
    --------
    >>> of_yaml(b"datatype:\\n- {name: ra, unit: rad, datatype: float64}")
    ({'ra': 'rad'}, [])
    """
    import yaml

    try:
        lines = header.decode().splitlines()
        start = lines.index("datatype:")
        stop = next(
            (i for i in range(start + 1, len(lines)) if not lines[i].startswith(("-", " "))),
            len(lines),
        )
        # use `compose`, which neither expands aliases nor executes tags, so that a hostile file
        # cannot create objects
        root = yaml.compose("\n".join(lines[start:stop]), Loader=yaml.SafeLoader)
        return dict(_units(yaml, root)), []
    except (ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        return {}, _unread(error)


def _units(yaml: Any, root: Any) -> Iterator[tuple[str, str]]:
    """Yield name and unit of each column that has a unit in a YAML header.

    A faulty entry raises TypeError.
    """
    for column in root.value[0][1].value:
        if not isinstance(column, yaml.MappingNode):
            raise TypeError("a column is no mapping")
        entries = {
            key.value: value for key, value in column.value if isinstance(key, yaml.ScalarNode)
        }
        name, unit = entries.get("name"), entries.get("unit")
        if not isinstance(name, yaml.ScalarNode) or not (
            unit is None or isinstance(unit, yaml.ScalarNode)
        ):
            raise TypeError("a column has no name, or a unit that is no text")
        if unit is not None and unit.value:
            yield name.value, unit.value


def _of_votable(data: bytes) -> tuple[Units, list[str]]:
    """Return the units of a VOTable's columns; open no other files and expand no entities."""
    units: Units = {}

    def element(tag: str, attributes: dict[str, str]) -> None:
        name = attributes.get("name") or attributes.get("ID")
        if tag.rpartition(":")[2] == "FIELD" and name and attributes.get("unit"):
            units.setdefault(name, attributes["unit"])

    def refuse(name: str, *_: object) -> None:
        raise ValueError(f"it declares the entity {name}")

    parser = expat.ParserCreate()
    parser.StartElementHandler = element
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except (ValueError, expat.ExpatError) as error:
        return {}, _unread(error)
    return units, []


def _unread(error: Exception) -> list[str]:
    what = f"{type(error).__name__}: {error}".partition("\n")[0][:120]
    return [
        f"units stand in the file and cannot be read ({what}): "
        "every column is taken to be in its usual unit"
    ]
