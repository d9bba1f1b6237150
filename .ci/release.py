"""Write what goes with a wheel: its bill of materials and the digests of both.

    python .ci/release.py dist/                    # builds the wheel there first
    python .ci/release.py dist/ --wheel FILE.whl   # of a wheel that is there

`NAME.cdx.json` is a CycloneDX 1.6 document: the wheel with its SHA-256, and every package of
`.ci/constraints.txt`, the versions that all tests last passed with. The same wheel and constraints
give the same bytes. `SHA256SUMS` is what `sha256sum -c` reads, and what a release signs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email.message import Message
from email.parser import Parser
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / ".ci" / "constraints.txt"
SUMS = "SHA256SUMS"
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;#]+)", re.MULTILINE)
REQUIRED = re.compile(r"^[A-Za-z0-9._-]+")


def main(words: Sequence[str] | None = None) -> int:
    """Build or take a wheel, and write both files beside it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where to, such as dist/")
    parser.add_argument("--wheel", type=Path, help="a wheel that is there, in place of a new one")
    arguments = parser.parse_args(words)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    wheel = arguments.wheel or build(arguments.folder)
    if not wheel.is_file() or wheel.suffix != ".whl":
        print(f"{wheel}: no wheel", file=sys.stderr)
        return 1
    if wheel.resolve().parent != arguments.folder.resolve():
        copy = arguments.folder / wheel.name
        copy.write_bytes(wheel.read_bytes())
        wheel = copy
    bill = arguments.folder / f"{wheel.stem}.cdx.json"
    bill.write_text(bill_of_materials(wheel, CONSTRAINTS.read_text("utf-8")), encoding="utf-8")
    sums = "".join(f"{sha256(path)}  {path.name}\n" for path in (wheel, bill))
    (arguments.folder / SUMS).write_text(sums, encoding="utf-8")
    for path in (wheel, bill, arguments.folder / SUMS):
        print(path)
    return 0


def build(folder: Path) -> Path:
    """Build the wheel of this checkout, in an environment of its own."""
    before = set(folder.glob("*.whl"))
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "-w",
        str(folder),
        str(ROOT),
    ]
    subprocess.run(command, check=True)
    built = sorted(folder.glob("*.whl"), key=lambda path: path.stat().st_mtime)
    return next((path for path in built if path not in before), built[-1])


def bill_of_materials(wheel: Path, constraints: str) -> str:
    """Return the CycloneDX document of a wheel and the packages that it is used with, as JSON."""
    record = metadata(wheel)
    digest = sha256(wheel)
    own = component(record["Name"], record["Version"], kind=ComponentType.APPLICATION)
    own.hashes.add(HashType(alg=HashAlgorithm.SHA_256, content=digest))
    if licence := record.get("License-Expression") or record.get("License"):
        own.licenses.add(LicenseExpression(licence))
    pins = {normal(name): version for name, version in PIN.findall(constraints)}
    packages = {name: component(name, version) for name, version in sorted(pins.items())}
    bom = Bom(components=packages.values())
    bom.metadata.component = own
    # neither a time nor a random number: the same wheel has the same bill
    bom.metadata.timestamp = datetime(1980, 1, 1, tzinfo=UTC)
    bom.serial_number = uuid.uuid5(
        uuid.NAMESPACE_URL, digest + hashlib.sha256(constraints.encode()).hexdigest()
    )
    bom.register_dependency(own, [packages[name] for name in required(record) if name in packages])
    text = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)
    return json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"


def component(name: str, version: str, kind: ComponentType = ComponentType.LIBRARY) -> Component:
    """Return a package of PyPI as a component."""
    url = PackageURL("pypi", name=normal(name), version=version)
    return Component(name=name, version=version, type=kind, purl=url, bom_ref=url.to_string())


def required(record: Message) -> Iterator[str]:
    """Yield the names of the packages that a wheel requires, those of its extras too, each once."""
    names = (REQUIRED.match(text) for text in record.get_all("Requires-Dist", []))
    yield from dict.fromkeys(normal(match[0]) for match in names if match is not None)


def metadata(wheel: Path) -> Message:
    """Return the METADATA of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode("utf-8"))


def normal(name: str) -> str:
    """Return a package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def sha256(path: Path) -> str:
    """Return the SHA-256 digest of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    raise SystemExit(main())
