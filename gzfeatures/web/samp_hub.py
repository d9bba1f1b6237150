"""Send a table to other astronomy programs on this machine (TOPCAT, Aladin) by SAMP.

SAMP 1.3 (IVOA, https://www.ivoa.net/documents/SAMP/) is a protocol by which programs on one machine
exchange messages through a hub, which one of them runs. The library for it is pyvo, because that of
astropy is deprecated.
"""

from __future__ import annotations

from pathlib import Path

from gzfeatures.errors import InputError, need

WHO = "gzfeatures"
LOADS = "table.load.votable"
"""Type of a SAMP message that asks a program to load a table."""


def send_votable(path: Path, name: str) -> list[str]:
    """Ask every program at the SAMP hub that can load tables to load a VOTable.

    Parameters
    ----------
    path : Path
        VOTable on this machine; it must stay there while the programs read it.
    name : str
        Name of the table in the other programs.

    Returns
    -------
    list of str
        Names of the programs that were asked, sorted.

    Raises
    ------
    MissingPackageError
        pyvo is not installed.
    InputError
        No hub runs, or no program at the hub loads tables.
    """
    samp = need("pyvo.samp", extra="samp")
    # `callable=False`: this client only sends, so it needs no open network port to receive messages
    client = samp.SAMPIntegratedClient(name=WHO, callable=False)
    try:
        client.connect()
    except (samp.SAMPHubError, OSError) as error:
        raise InputError(
            "no SAMP hub runs", remedy="start TOPCAT or Aladin, and send the selection again"
        ) from error
    try:
        others = sorted(client.get_subscribed_clients(LOADS))
        if not others:
            raise InputError("SAMP hub", rule="know a program that loads tables", found=0)
        names = [_name_of(client.get_metadata(each), each) for each in others]
        content = {"url": path.resolve().as_uri(), "table-id": name, "name": name}
        client.notify_all({"samp.mtype": LOADS, "samp.params": content})
    finally:
        client.disconnect()
    return sorted(names)


def _name_of(described: object, key: str) -> str:
    """Return the name that a program gave itself at the SAMP hub, or else the name from the hub."""
    known = described if isinstance(described, dict) else {}
    return str(known.get("samp.name", key))
