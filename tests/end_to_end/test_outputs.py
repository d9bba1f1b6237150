"""No verb overwrites an input, a file of another origin, or one that was changed since: all verbs,
all their files."""

from __future__ import annotations

import inspect
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import Result
from cutout_server import cutouts_served
from faults.steps import lay
from reports import finished
from shortcuts.undrawn import undrawn
from typer.models import ArgumentInfo
from typer.testing import CliRunner
from verbs import app, gz

from gzfeatures import outputs, written_files
from gzfeatures.cli.writing import NAMED, PLAIN
from gzfeatures.errors import OutputError
from gzfeatures.features.table import EmbeddingTable
from gzfeatures.files import written_whole
from gzfeatures.images.sources.archive import archive
from gzfeatures.outputs import guarded, sealed
from gzfeatures.progress import Terminal
from gzfeatures.written_files import written_by

NETWORK = "--backbone resnet18 --weights none --view size=32"
CASES = {
    "check": "check catalog.csv -o out.parquet",
    "label": "label catalog.csv --scheme smooth-featured -o out.csv --plot out.png",
    "sample": "sample catalog.csv --scheme smooth-featured -o out.csv",
    "join": "join catalog.csv hart.csv --on GalaxyID=asset_id -o out.parquet",
    "cutouts": "cutouts positions.csv -o out --base-url {url} --pixels 32 --workers 4",
    "extract": f"extract images {NETWORK} -o out.parquet",
    "extract several": f"extract images {NETWORK} --view size=40 -o out",
    "fit": "fit table.parquet --labels labels.csv -H prototype -H svm --tune -o out",
    "finetune": "finetune images --labels labels.csv --network engel --view size=32 --epochs 1 -o "
    "out",
    "predict": "predict heads/prototype.skops table.parquet -o out.csv",
    "predict parquet": "predict heads/prototype.skops table.parquet -o out.parquet",
    "predict fits": "predict heads/prototype.skops table.parquet -o out.fits",
    "predict network": "predict checkpoint images -o out.csv",
    "export": "export heads/prototype.skops --from vectors --check-on table.parquet -o out.onnx",
    "map": "map table.parquet --labels labels.csv --images images --figure out.png -o out.html",
    "similar": "similar table.parquet 10000007 --images images -o out.csv --gallery out.png",
    "find": "find table.parquet spiral --labels catalog.csv --images images -o out.csv --gallery "
    "out.html",
    "odd": "odd table.parquet --images images -o out.csv --gallery out.html",
    "duplicates": "duplicates table.parquet -o out.csv --gallery out.html --images images",
    "doubt": "doubt table.parquet --labels some.csv -H prototype -o out.csv --next next.csv "
    "--gallery out.html "
    "--images images",
    "audit": "audit table.parquet --labels labels.csv --catalog positions.csv --draws 19 -o out",
    "explain": "explain checkpoint 10000007 --images images --method grad-cam -o out.html",
    "run": "run small.toml -o out",
    "new": "new out.toml --images images --labels labels.csv",
    "table import": "table import table.parquet -o out.parquet",
    "table export": "table export table.parquet -o out.npz",
    "table join": "table join table.parquet table.parquet -o out.parquet",
    "table compare": "table compare table.parquet table.parquet --labels labels.csv "
    "--figure out.png",
    "table index": "table index table.parquet -o out.index",
    "table slice": "table slice table.parquet --ids labels.csv -o out.parquet",
    "table repair": "table repair table.parquet --like table.parquet -o out.parquet",
    "figure": "figure finished --kind ranking -o out.pdf",
    "cite": "cite finished -o out.bib",
    "methods": "methods finished -o out.txt",
}
"""Every verb that writes, with every option that names a file to write."""
TAKEN_BY = {"demo": "run"}
"""Verbs that write what another does, and further files of their own."""
SERVED = {"teach"}
"""Verbs that serve a page until they are stopped: see test_teaching_session.py."""
WHOLE = 8
"""Files above which a verb is not called again for each."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    desk = lay(tmp_path_factory.mktemp("outputs") / "desk")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(desk)
        patch.setenv("GZFEATURES_STORE", str(desk.with_name("store")))
        Path("some.csv").write_text(
            "".join(Path("labels.csv").read_text().splitlines(keepends=True)[:32])
        )
        gz("fit", "table.parquet", "--labels", "labels.csv", "-H", "prototype", "-o", "heads")
        gz(*CASES["finetune"].replace("-o out", "-o checkpoint").split())
    finished(desk / "finished")
    return desk


@pytest.fixture(autouse=True)
def _undrawn() -> Iterator[None]:
    with undrawn():
        yield


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with cutouts_served() as server:
        yield server.url


@pytest.fixture
def desk(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(shutil.copytree(inputs, tmp_path / "desk"))
    return tmp_path / "desk"


def call(*words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--json"])


def refused(result: Result, words: str) -> None:
    assert isinstance(result.exception, OutputError), result.output
    assert words in str(result.exception) and "\n" not in str(result.exception)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every file that appears under a guard."""
    found: list[Path] = []
    real = outputs.Guard.replacing

    def replacing(guard: outputs.Guard, path: Path, fresh: Path) -> None:
        real(guard, path, fresh)
        found.append(path)

    monkeypatch.setattr(outputs.Guard, "replacing", replacing)
    return found


def everything(desk: Path) -> dict[Path, bytes]:
    own = ("mlruns", "pixels", "store")
    return {
        path: path.read_bytes()
        for path in desk.rglob("*")
        if path.is_file() and path.name != ".lock" and not {*path.relative_to(desk).parts} & {*own}
    }


@pytest.mark.parametrize("case", CASES)
def test_a_verb_replaces_what_it_wrote_and_nothing_else(
    case: str, desk: Path, url: str, seen: list[Path]
) -> None:
    words = CASES[case].format(url=url).split()
    before = everything(desk)
    first = call(*words)
    assert first.exit_code == 0, first.output
    made = sorted({desk / path for path in seen if (desk / path).is_relative_to(desk)})
    made = [
        path
        for path in made
        if path.exists() and not {"mlruns", "pixels"} & {*path.relative_to(desk).parts}
    ]
    assert (
        made and {path: data for path, data in everything(desk).items() if path in before} == before
    )
    assert call(*words).exit_code == 0, "the same command again"
    late = [path for path in made if path.parent != desk / "out"]
    parts = [[path] for path in made] if len(made) <= WHOLE else [made, late]
    for edited in parts if case != "cutouts" else ():
        kept = {path: path.read_bytes() for path in edited}
        for path, data in kept.items():
            path.write_bytes(data + b"\n")
        changed = everything(desk)
        refused(call(*words), "--overwrite")
        still = everything(desk)
        assert {path: still[path] for path in edited} == {path: changed[path] for path in edited}
        for path, data in kept.items():
            path.write_bytes(data)
    for path in made if case != "cutouts" else ():
        path.unlink()
    if case != "cutouts" and words[-1] != "out":
        made[0].write_bytes(b"mine")
        refused(call(*words), "--overwrite")
        assert [path for path in made if path.exists()] == made[:1], "before any work"
        assert call(*words, "--overwrite").exit_code == 0
        assert made[0].read_bytes() != b"mine"


def test_cutouts_leave_a_picture_of_ones_own_alone(desk: Path, url: str) -> None:
    (desk / "out").mkdir()
    shutil.copy(desk / "images" / "10000007.jpg", desk / "out" / "g3.jpg")
    mine = (desk / "out" / "g3.jpg").read_bytes()
    words = CASES["cutouts"].format(url=url).split()
    for _ in range(2):
        assert [entry["id"] for entry in gz(*words)["failed"]] == ["g3"]
        assert (desk / "out" / "g3.jpg").read_bytes() == mine
    assert gz(*words, "--overwrite")["failed"] == []


@pytest.mark.parametrize("case", [case for case in CASES if "-o out" in CASES[case]])
def test_an_output_that_is_an_input_is_refused_also_with_overwrite(
    case: str, desk: Path, url: str
) -> None:
    words = CASES[case].format(url=url).split()
    read = [word for word in words[1:] if Path(word).exists()]
    assert read
    before = everything(desk)
    for place in (place for place, word in enumerate(words) if word.startswith(("out", "next"))):
        for name in read:
            if (case, name) in {
                ("cutouts", "positions.csv"),
                ("fit", "labels.csv"),
                ("run", "small.toml"),
            }:
                continue
            for more in ((), ("--overwrite",)):
                result = call(*words[:place], name, *words[place + 1 :], *more)
                assert result.exit_code == 1, (place, name, result.output)
                assert everything(desk) == before
    assert not (desk / "out").exists()


@pytest.mark.parametrize("name", ["link.csv", "hard.csv", "CATALOG.csv", "images/../catalog.csv"])
def test_an_input_is_known_by_every_name(name: str, desk: Path) -> None:
    (desk / "link.csv").symlink_to("catalog.csv")
    os.link(desk / "catalog.csv", desk / "hard.csv")
    before = everything(desk)
    refused(
        call("label", "catalog.csv", "--scheme", "smooth-featured", "-o", name, "--overwrite"),
        "input",
    )
    assert everything(desk) == before


def test_a_file_in_a_folder_that_is_read_is_an_input(desk: Path) -> None:
    words = ("odd", "table.parquet", "--images", "images", "--gallery", "images/10000007.png")
    Path("images/10000007.png").write_bytes(b"a galaxy")
    refused(call(*words, "--overwrite"), "would overwrite an input")
    Path("images/10000007.png").unlink()
    refused(call(*words, "--overwrite"), "would become one of the images")
    words = ("odd", "table.parquet", "--images", "images", "--gallery", "images/odd.html")
    assert call(*words).exit_code == call(*words).exit_code == 0, (
        "its own page it may replace there"
    )
    Path("images/odd.html").write_text("mine")
    refused(call(*words, "--overwrite"), "would overwrite an input")


def test_what_would_become_an_image_is_what_a_folder_of_images_holds(tmp_path: Path) -> None:
    for number, ending in enumerate([*outputs.IMAGES, ".csv", ".parquet", ".html", ".json"]):
        (tmp_path / f"{number}{ending}").write_bytes(b"a galaxy")
    assert len(archive(tmp_path).names()) == len(outputs.IMAGES)
    for ending in outputs.IMAGES:
        with pytest.raises(OutputError, match="would become one of the images"):
            outputs.Guard("odd", (tmp_path,)).keep_apart(tmp_path / f"new{ending}")


def test_a_checkpoint_is_not_trained_into_the_folder_that_it_starts_from(desk: Path) -> None:
    words = (
        CASES["finetune"].replace("engel", "checkpoint").replace("-o out", "-o checkpoint").split()
    )
    before = everything(desk)
    refused(call(*words, "--overwrite"), "would be written into while it is read")
    assert everything(desk) == before


def test_pixels_of_ones_own_survive_a_training(desk: Path) -> None:
    (desk / "out" / "pixels").mkdir(parents=True)
    (desk / "out" / "pixels" / "mine.npy").write_bytes(b"mine")
    assert call(*CASES["finetune"].split()).exit_code == 0
    assert [path.name for path in (desk / "out" / "pixels").iterdir()] == ["mine.npy"]


def test_an_input_named_by_a_file_address_is_not_overwritten(tmp_path: Path) -> None:
    from gzfeatures.cli.writing import _inputs

    arguments = {"source": Path(tmp_path.as_uri()), "images": Path("https://host/images/")}
    assert list(_inputs(arguments, set())) == [tmp_path], "what lies elsewhere is no file here"


@pytest.mark.parametrize(
    "words", ["-o same.csv --plot same.csv", "-o same.csv --plot images/../same.csv"]
)
def test_two_outputs_of_one_name_are_refused(words: str, desk: Path) -> None:
    refused(
        call("label", "catalog.csv", "--scheme", "smooth-featured", *words.split()), "two outputs"
    )
    assert not Path("same.csv").exists()


def test_a_folder_a_pipe_and_a_device_are_not_replaced(desk: Path) -> None:
    os.mkfifo("pipe.csv")
    Path("folder.csv").mkdir()
    Path("null.csv").symlink_to("/dev/null")
    for name, kind in (
        ("folder.csv", "a folder"),
        ("pipe.csv", "no regular file"),
        ("null.csv", "no regular file"),
    ):
        refused(
            call("label", "catalog.csv", "--scheme", "smooth-featured", "-o", name, "--overwrite"),
            kind,
        )


def test_a_file_of_another_verb_is_refused(desk: Path) -> None:
    gz("odd", "table.parquet", "-o", "out.csv")
    refused(call("duplicates", "table.parquet", "-o", "out.csv"), "a file of 'odd'")


def test_a_map_ends_in_html(desk: Path) -> None:
    result = call("map", "table.parquet", "-o", "other.parquet")
    assert result.exit_code == 1 and "end in .html" in str(result.exception)


def test_the_files_of_a_run_are_refused_before_anything_is_trained(desk: Path) -> None:
    shutil.copy("labels.csv", "mine.csv")
    Path("here").mkdir()
    Path("here/labels.csv").write_text("galaxy_id,label\n1,mine\n")
    refused(call("run", "small.toml", "-o", "here"), "labels.csv")
    assert [path.name for path in Path("here").rglob("*") if path.name != ".lock"] == ["labels.csv"]
    refused(call("run", "small.toml", "-o", ".", "--overwrite"), "would overwrite an input")
    assert Path("labels.csv").read_bytes() == Path("mine.csv").read_bytes()


def test_a_run_goes_on_in_its_folder_from_settings_that_say_the_same(desk: Path) -> None:
    gz("run", "small.toml", "-o", "out", "--set", "map=false", "--set", "networks=[]")
    settings = Path("out/experiment.json")
    settings.write_text(settings.read_text() + "\n")
    mine = settings.read_bytes()
    gz("run", "out")
    assert settings.read_bytes() == mine
    settings.write_text(settings.read_text().replace('"seed": 0', '"seed": 1'))
    assert call("run", "out", "--set", "seed=0").exit_code == 1, (
        "edited settings are not written over"
    )


def test_a_folder_of_results_may_be_copied_and_work_goes_on_in_the_copy(desk: Path) -> None:
    words = ["fit", "table.parquet", "--labels", "labels.csv", "-H", "prototype", "-o", "out"]
    gz(*words)
    shutil.copytree("out", "copy")
    gz(*words[:-1], "copy")
    Path("copy/prototype.skops").write_bytes(b"mine")
    refused(call(*words[:-1], "copy"), "--overwrite")


@pytest.mark.parametrize("name", ["survey/catalog.csv", "survey/contact.jpg", "survey/survey.json"])
def test_the_demo_is_a_run_and_leaves_files_of_others_alone(name: str, desk: Path) -> None:
    path = desk / "out" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    refused(call("demo", "-o", "out"), "--overwrite")
    assert [each for each in (desk / "out").rglob("*") if each.is_file()] == [path]


@pytest.mark.parametrize("case", ["extract", "map", "predict parquet", "join", "explain"])
def test_parquet_and_html_are_known_without_the_record(
    case: str, desk: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = [word for word in CASES[case].split() if word not in ("--figure", "out.png")]
    gz(*words)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    Path("moved").mkdir()
    for path in desk.glob("out*"):
        shutil.copy(path, Path("moved") / path.name)
    gz(*words)
    gz(*(word.replace("out.", "moved/out.") for word in words))


def test_a_table_that_was_edited_is_not_known_by_its_seal(desk: Path) -> None:
    gz(*CASES["extract"].split())
    table = pq.read_table("out.parquet")
    pq.write_table(table.slice(0, 10), "out.parquet")
    assert pq.read_metadata("out.parquet").metadata.get(written_files.SEAL.encode()) or True
    refused(call(*CASES["extract"].split()), "--overwrite")
    assert len(EmbeddingTable.read("out.parquet")) == 10


def test_a_seal_with_other_columns_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with (
        guarded("odd"),
        written_whole(path) as fresh,
        pq.ParquetWriter(fresh, pq_table(3).schema) as writer,
    ):
        writer.write_table(pq_table(3))
        outputs.seal_parquet(writer, fresh)
    note = pq.read_metadata(path).metadata[written_files.SEAL.encode()]
    with guarded("map"):
        assert written_by(path) == "odd"
    with pq.ParquetWriter(path, pq_table(4).schema) as writer:
        writer.write_table(pq_table(4))
        writer.add_key_value_metadata({written_files.SEAL: note})
    assert written_by(path) is None


def pq_table(rows: int) -> Any:
    import pyarrow as pa

    return pa.table({"x": list(range(rows))})


def test_a_page_that_was_edited_is_not_known_by_its_seal(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    with guarded("map"):
        page = sealed('<head><meta charset="utf-8">\n<p>here</p>')
    path.write_text(page)
    assert written_by(path) == "map"
    path.write_text(page.replace("here", "there"))
    assert written_by(path) is None
    assert sealed(page) == page, "nothing without a verb"


def test_what_may_be_replaced_is_noted_before_it_appears(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"

    def write(text: str) -> None:
        with guarded("label", files=[path]), written_whole(path) as fresh:
            fresh.write_text(text)

    write("a")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(OutputError):
            write("b")
    write("c")
    assert path.read_text() == "c"
    path.write_text("b")
    write(
        "d"
    )  # noted, and then killed before it lay there: another process may have put it there meanwhile
    path.write_text("e")
    with pytest.raises(OutputError):
        write("f")


def test_a_file_changed_while_the_verb_works_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with (
        guarded("label", files=[path]),
        pytest.raises(OutputError, match="--overwrite"),
        written_whole(path) as fresh,
    ):
        fresh.write_text("labels")
        path.write_text("mine")
    assert path.read_text() == "mine" and [each.name for each in tmp_path.iterdir()] == ["out.csv"]


def test_without_a_place_for_the_record_work_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(written_files, "_complained", [])
    path = tmp_path / "out.csv"
    for text in ("a", "b"):
        files = [path] if text == "a" else []
        with guarded("label", files=files, progress=Terminal()), written_whole(path) as fresh:
            fresh.write_text("a")
    assert capsys.readouterr().err.count("the same command again will ask for --overwrite") == 1
    with pytest.raises(OutputError, match="--overwrite"), guarded("label", files=[path]):
        pass


def test_that_written_files_cannot_be_recorded_is_said_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(written_files, "_complained", [])
    with guarded("label", files=[tmp_path / "out.csv"], progress=Terminal()):
        assert "will ask for --overwrite" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"no database", b"half of one"])
def test_a_damaged_record_is_set_aside_and_a_new_one_begun(
    content: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(written_files, "_complained", [])
    record, path = tmp_path / "gzfeatures" / "outputs.db", tmp_path / "out.csv"
    with guarded("label", files=[path]), written_whole(path) as fresh:
        fresh.write_text("a")
    content = record.read_bytes()[:-4000] if content == b"half of one" else content
    record.write_bytes(content)
    with (
        pytest.raises(OutputError, match="--overwrite"),
        guarded("label", files=[path], progress=Terminal()),
    ):
        pass
    said = capsys.readouterr().err
    assert (
        f"the record of written files {record}" in said
        and "set aside as outputs.db.damaged" in said
    )
    assert record.with_name("outputs.db.damaged").read_bytes() == content
    with guarded("label", files=[path], overwrite=True), written_whole(path) as fresh:
        fresh.write_text("a")
    with guarded("label", files=[path]):
        pass


def test_a_look_at_the_record_leaves_nothing_in_it(tmp_path: Path) -> None:
    with guarded("label", files=[tmp_path / "out.csv"]):
        pass
    with written_files._record() as connection:
        assert connection.execute("select * from outputs where path = x''").fetchall() == []


def test_a_full_disk_stops_before_a_file_without_a_note_appears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> sqlite3.Connection:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(written_files, "_record", full)
    with (
        guarded("label"),
        pytest.raises(OutputError, match="disk is full"),
        written_whole(tmp_path / "x") as fresh,
    ):
        fresh.write_text("a")
    assert not (tmp_path / "x").exists()


def test_in_python_a_write_does_as_it_is_told(tmp_path: Path) -> None:
    for text in ("a", "b"):
        with written_whole(tmp_path / "x") as fresh:
            fresh.write_text(text)
    assert (tmp_path / "x").read_text() == "b" and outputs.current() is None


def verbs() -> dict[str, Any]:
    """Function of each verb; of a verb with parts (`table import`), that of each part."""
    parts = [(f"{group.name} ", group.typer_instance) for group in app.registered_groups]
    return {
        prefix + (command.name or command.callback.__name__): command.callback
        for prefix, verb in [("", app), *parts]
        for command in verb.registered_commands
    }


def test_every_verb_declares_what_it_writes_and_is_tried_here() -> None:
    for name, function in verbs().items():
        assert hasattr(function, "writes"), f"{name}: put @writes(…) below @app.command"
        cases = [words.split() for words in CASES.values() if words.startswith(f"{name} ")]
        assert bool(function.writes) == bool(cases or name in TAKEN_BY | dict.fromkeys(SERVED)), (
            f"{name}: needs an entry of CASES"
        )
        options = {option for words in cases for option in words if option.startswith("-")}
        for parameter in function.writes if cases else ():
            hint = inspect.signature(function).parameters[parameter].annotation
            # an argument stands in every case, an option may be left out
            if any(isinstance(each, ArgumentInfo) for each in hint.__metadata__):
                continue
            spelled = {
                word
                for each in hint.__metadata__
                for word in each.param_decls or (f"--{parameter}",)
            }
            spelled |= {f"--{parameter.strip('_')}"}
            assert spelled & options, f"{name}: a case has to use {spelled}"


def test_every_text_that_a_verb_takes_is_known_to_name_a_file_or_not() -> None:
    texts = set()
    for function in verbs().values():
        for parameter in inspect.signature(function, eval_str=True).parameters.values():
            if "str" in str(getattr(parameter.annotation, "__origin__", "")):
                texts.add(parameter.name)
    assert texts - NAMED.keys() - PLAIN == set(), "put these into NAMED or PLAIN of cli/writing.py"
