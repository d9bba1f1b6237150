"""What goes with a release: a bill of materials, digests, and an audit that says when it knows
nothing."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from web_server import sends, serving

from gzfeatures.tracking.wheel import write_wheel

SCRIPTS = Path(__file__).parents[2] / ".ci"


def script(name: str) -> ModuleType:
    """A script of the repository, imported."""
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wheel(tmp_path_factory.mktemp("wheel"))


def released(wheel: Path, folder: Path) -> tuple[dict[str, object], str]:
    """Bill of materials and digests that are written for a wheel."""
    pytest.importorskip("cyclonedx")
    assert script("release").main([str(folder), "--wheel", str(wheel)]) == 0
    bill = json.loads((folder / f"{wheel.stem}.cdx.json").read_text("utf-8"))
    return bill, (folder / "SHA256SUMS").read_text()


def test_bill_names_every_pinned_package_and_what_the_wheel_requires(
    wheel: Path, tmp_path: Path
) -> None:
    bill, sums = released(wheel, tmp_path)
    release = script("release")
    pins = release.PIN.findall((SCRIPTS / "constraints.txt").read_text("utf-8"))
    listed = {(part["name"], part["version"]) for part in bill["components"]}  # type: ignore[attr-defined]
    assert listed == {(release.normal(name), version) for name, version in pins}
    own = bill["metadata"]["component"]  # type: ignore[index]
    assert own["hashes"] == [{"alg": "SHA-256", "content": release.sha256(wheel)}]
    edges = {entry["ref"]: entry.get("dependsOn", []) for entry in bill["dependencies"]}  # type: ignore[attr-defined]
    direct = {url.partition("/")[2].partition("@")[0] for url in edges[own["bom-ref"]]}
    needed = set(release.required(release.metadata(wheel)))
    assert {"torch", "numpy", "urllib3"} <= direct == needed & {name for name, _ in listed}
    assert sums.count("\n") == 2


def test_bill_keeps_to_the_schema_of_cyclonedx(wheel: Path, tmp_path: Path) -> None:
    released(wheel, tmp_path)
    from cyclonedx.exception import MissingOptionalDependencyException
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = (tmp_path / f"{wheel.stem}.cdx.json").read_text("utf-8")
    try:
        valid = JsonStrictValidator(SchemaVersion.V1_6)
        assert valid.validate_str(text) is None
        assert valid.validate_str(text.replace('"components"', '"compounds"', 1)) is not None
    except MissingOptionalDependencyException:
        pytest.skip("no validator of JSON schemas is installed")


def test_digests_are_those_of_the_files_and_a_second_call_writes_the_same(
    wheel: Path, tmp_path: Path
) -> None:
    first, second = released(wheel, tmp_path / "a"), released(wheel, tmp_path / "b")
    assert first == second
    check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    assert subprocess.run(check, cwd=tmp_path / "a", capture_output=True).returncode == 0
    with (tmp_path / "a" / wheel.name).open("ab") as file:
        file.write(b"more")
    assert subprocess.run(check, cwd=tmp_path / "a", capture_output=True).returncode == 1


def test_what_is_no_wheel_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cyclonedx")
    assert script("release").main([str(tmp_path), "--wheel", str(tmp_path / "none.whl")]) == 1
    assert capsys.readouterr().err.endswith("none.whl: no wheel\n")


def test_wheel_of_the_release_holds_no_test_and_no_script(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert {name.partition("/")[0].partition("-")[0] for name in archive.namelist()} == {
            "gzfeatures"
        }


def test_audit_that_reaches_nobody_says_so_and_ends_with_a_code_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert script("audit").main(["--service", "http://127.0.0.1:9/"]) == 3
    said = capsys.readouterr().err
    assert said.startswith("dependencies not audited: http://127.0.0.1:9/ cannot be reached")
    assert said.count("\n") == 1


ANSWERS = {
    "clean": ({"dependencies": [{"name": "a", "version": "1", "vulns": []}]}, 0),
    "hole": ({"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1"}]}]}, 1),
    "passed over": ({"dependencies": [{"name": "a", "skip_reason": "not found"}]}, 3),
    "no result": (None, 3),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_audit_tells_holes_from_failures_of_pip_audit(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer, code = ANSWERS[case]
    # a stand-in for pip-audit, which ends with 1 for holes and for its own failures
    words = "raise SystemExit('no network')" if answer is None else f"print({json.dumps(answer)!r})"
    (tmp_path / "pip_audit.py").write_text(f"{words}\nraise SystemExit({int(code == 1)})")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    with serving() as server:
        server.paths["/"] = sends(b"up")
        assert script("audit").main(["--service", server.url + "/"]) == code
    said = capsys.readouterr()
    assert ("PYSEC-1" in said.out) == (code == 1)
    assert ("not audited" in said.err) == (code == 3)


def test_audit_without_pip_audit_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pip_audit", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    audit_spec = importlib.machinery.SourceFileLoader("audit", str(SCRIPTS / "audit.py"))
    module = ModuleType("audit")
    module.__file__ = str(SCRIPTS / "audit.py")
    audit_spec.exec_module(module)
    with serving() as server:
        server.paths["/"] = sends(b"up")
        assert module.main(["--service", server.url + "/"]) == 3
    assert "pip install pip-audit" in capsys.readouterr().err
