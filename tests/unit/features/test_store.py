from __future__ import annotations

import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import CliRunner

from gzfeatures import fingerprint
from gzfeatures.cli.console import app
from gzfeatures.errors import InputError, MissingFileError, OutputError
from gzfeatures.features import shard
from gzfeatures.features import vector_cache as store_module
from gzfeatures.features.backbones import backbone
from gzfeatures.features.store import Store
from gzfeatures.features.store_import import import_vectors
from gzfeatures.features.table import Extractor
from gzfeatures.features.trained_on import TrainedOn
from gzfeatures.features.vector_cache import VectorCache
from gzfeatures.images.view import View

EXTRACTOR = Extractor("resnet18", "resnet18", "random:0", "avgpool", 4, View(size=64))


def digests(*numbers: int) -> list[str]:
    return [fingerprint.of(number) for number in numbers]


def rows(*numbers: int) -> npt.NDArray[np.float32]:
    return np.asarray(
        [[number + 0.25 * k for k in range(4)] for number in numbers], dtype=np.float32
    )


def shards(shelf: VectorCache) -> list[Path]:
    return sorted(shelf.folder.glob("*.arrow"))


def test_rows_come_back_by_digest_in_any_order(tmp_path: Path) -> None:
    shelf = Store(tmp_path).vectors_of(EXTRACTOR)
    assert not shelf.has(digests(1, 2)).any()
    shelf.add(digests(1, 2, 3), rows(1, 2, 3))
    shelf.add(digests(4), rows(4))
    assert shelf.has(digests(4, 9, 1)).tolist() == [True, False, True]
    np.testing.assert_array_equal(shelf.vectors(digests(4, 1, 4, 2)), rows(4, 1, 4, 2))
    again = Store(tmp_path).vectors_of(EXTRACTOR)
    np.testing.assert_array_equal(again.vectors(digests(3)), rows(3))
    assert len(again) == 4 and again.has([]).shape == (0,)


def test_absent_vector_is_an_error(tmp_path: Path) -> None:
    shelf = Store(tmp_path).vectors_of(EXTRACTOR)
    shelf.add(digests(1), rows(1))
    with pytest.raises(InputError, match=r"1 of 2 vectors are not in the store.*extract again"):
        shelf.vectors(digests(1, 2))


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": "resnet34"},
        {"weights": "0" * 64},
        {"layer": "layer3"},
        {"view": View(size=65)},
        {"view": View(size=64, crop=0.5)},
        {"view": View(size=64, grey=True)},
        {"mean": (0.5, 0.5, 0.5)},
        {"precision": "bfloat16"},
        {"engine": "other"},
        {"stride_on": "conv1"},
    ],
    ids=str,
)
def test_whatever_changes_a_vector_is_in_the_key(tmp_path: Path, change: dict[str, object]) -> None:
    Store(tmp_path).vectors_of(EXTRACTOR).add(digests(1), rows(1))
    other = dataclasses.replace(EXTRACTOR, **change)
    assert not Store(tmp_path).vectors_of(other).has(digests(1)).any()


def test_the_name_and_the_training_ids_are_not_in_the_key() -> None:
    assert (
        dataclasses.replace(EXTRACTOR, backbone="x", trained_on="AAAAAAAAAAA=").fingerprint
        == EXTRACTOR.fingerprint
    )


@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "text"])
def test_damaged_shard_is_set_aside_and_the_rest_serves(tmp_path: Path, damage: str) -> None:
    shelf = Store(tmp_path).vectors_of(EXTRACTOR)
    shelf.add(digests(1), rows(1))
    first = shards(shelf)[0]
    shelf.add(digests(2), rows(2))
    data = bytearray(first.read_bytes())
    data[data.index(rows(1).tobytes())] ^= 1
    broken = {
        "flipped": bytes(data),
        "truncated": bytes(data[:-100]),
        "empty": b"",
        "text": b"hello",
    }[damage]
    first.unlink()
    first.write_bytes(broken)
    shelf = Store(tmp_path).vectors_of(EXTRACTOR)
    assert shelf.has(digests(1, 2)).tolist() == [False, True]
    assert shelf.damaged == [first] and first.with_suffix(".damaged").exists()
    shelf.add(digests(1), rows(1))
    assert shelf.has(digests(1)).all()
    np.testing.assert_array_equal(shelf.vectors(digests(1, 2)), rows(1, 2))


def test_two_writers_share_a_shelf(tmp_path: Path) -> None:
    one, two = Store(tmp_path).vectors_of(EXTRACTOR), Store(tmp_path).vectors_of(EXTRACTOR)
    one.add(digests(1, 2), rows(1, 2))
    two.add(digests(2, 3), rows(2, 3))
    two.add(digests(1, 2), rows(1, 2))
    assert len(shards(one)) == 2
    assert one.has(digests(1, 2, 3)).all() and two.has(digests(1, 2, 3)).all()
    np.testing.assert_array_equal(one.vectors(digests(1, 2, 3)), rows(1, 2, 3))


def test_compaction_keeps_every_row_once_while_others_read(tmp_path: Path) -> None:
    shelf, reader = Store(tmp_path).vectors_of(EXTRACTOR), Store(tmp_path).vectors_of(EXTRACTOR)
    for number in range(store_module.MANY):
        shelf.add(digests(number, number + 1), rows(number, number + 1))
    every = list(range(store_module.MANY + 1))
    assert reader.has(digests(*every)).all()
    shelf.compact()
    assert len(shards(shelf)) == 1
    for user in (shelf, reader, Store(tmp_path).vectors_of(EXTRACTOR)):
        np.testing.assert_array_equal(user.vectors(digests(*every)), rows(*every))
        assert user.has(digests(*every)).all()
    assert len(shelf) == len(every)


def test_few_shards_are_left_as_they_are(tmp_path: Path) -> None:
    shelf = Store(tmp_path).vectors_of(EXTRACTOR)
    for number in range(store_module.MANY - 1):
        shelf.add(digests(number), rows(number))
    shelf.compact()
    assert len(shards(shelf)) == store_module.MANY - 1


def test_compaction_leaves_damaged_shards_out(tmp_path: Path) -> None:
    shelf = Store(tmp_path).vectors_of(EXTRACTOR)
    for number in range(store_module.MANY + 1):
        shelf.add(digests(number), rows(number))
    data = shards(shelf)[0].read_bytes()
    shards(shelf)[0].write_bytes(data[:-8] + b"00000000")
    other = Store(tmp_path).vectors_of(EXTRACTOR)
    other.compact()
    assert len(other.damaged) == 1
    assert other.has(digests(*range(store_module.MANY + 1))).sum() == store_module.MANY


def test_full_disk_leaves_what_was_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Store(tmp_path).vectors_of(EXTRACTOR)
    shelf.add(digests(1), rows(1))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        OutputError, match=r"store cannot be written: No space left.*GZFEATURES_STORE"
    ):
        shelf.add(digests(2), rows(2))
    assert shelf.has(digests(1, 2)).tolist() == [True, False]
    assert [p.name for p in shelf.folder.iterdir() if p.suffix not in (".arrow", ".json")] == []


def test_unwritable_store_names_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="set GZFEATURES_STORE to another folder"):
        Store(tmp_path / "file").vectors_of(EXTRACTOR).add(digests(1), rows(1))


def test_default_store_is_where_the_user_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GZFEATURES_STORE", str(tmp_path / "mine"))
    assert Store.default().root == tmp_path / "mine"
    monkeypatch.delenv("GZFEATURES_STORE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert Store.default().root == tmp_path / "cache" / "gzfeatures"


def test_show_counts_and_prune_frees(tmp_path: Path) -> None:
    store, other = (
        Store(tmp_path),
        dataclasses.replace(EXTRACTOR, backbone="resnet34", architecture="resnet34"),
    )
    assert store.show() == [] and store.prune(unused_days=0) == []
    store.vectors_of(EXTRACTOR).add(digests(1, 2), rows(1, 2))
    store.vectors_of(other).add(digests(1), rows(1))
    old = time.time() - 10 * 86_400
    os.utime(tmp_path / EXTRACTOR.fingerprint / "extractor.json", (old, old))
    newest, oldest = store.show()
    assert (newest.extractor, newest.rows) == (other, 1) and (oldest.extractor, oldest.rows) == (
        EXTRACTOR,
        2,
    )
    assert oldest.bytes == sum(
        p.stat().st_size for p in (tmp_path / EXTRACTOR.fingerprint).iterdir()
    )
    assert store.prune(backbone="resnet50") == [] and store.prune(unused_days=20) == []
    assert [e.fingerprint for e in store.prune(max_bytes=newest.bytes)] == [EXTRACTOR.fingerprint]
    assert [e.fingerprint for e in store.prune(backbone="resnet34")] == [other.fingerprint]
    assert store.show() == []


def test_the_extractor_that_was_not_used_for_longest_goes_first_however_small_it_is(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path)
    extractors = [
        dataclasses.replace(EXTRACTOR, backbone=name, architecture=name)
        for name in ("resnet18", "resnet34", "resnet50")
    ]
    for number, extractor in enumerate(extractors):
        store.vectors_of(extractor).add(
            digests(*range(1 + 50 * number)), rows(*range(1 + 50 * number))
        )
        used = time.time() - (3 - number) * 86_400
        os.utime(tmp_path / extractor.fingerprint / "extractor.json", (used, used))
    newest = store.show()[0]
    assert newest.bytes > sum(entry.bytes for entry in store.show()[1:])
    removed = store.prune(max_bytes=newest.bytes - 1)
    assert [entry.extractor.backbone for entry in removed] == ["resnet18", "resnet34", "resnet50"]


def test_a_damaged_record_is_named_and_made_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.vectors_of(EXTRACTOR).add(digests(1), rows(1))
    record = tmp_path / EXTRACTOR.fingerprint / "extractor.json"
    record.write_text("{")
    with pytest.raises(
        InputError, match="record of the store is damaged; extract again, or remove its folder"
    ):
        store.show()
    assert store.vectors_of(EXTRACTOR).has(digests(1)).all()
    assert [entry.extractor for entry in store.show()] == [EXTRACTOR]


def test_a_store_learns_on_which_galaxies_the_network_was_trained(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.vectors_of(EXTRACTOR).add(digests(1), rows(1))
    assert store.show()[0].extractor.trained_on is None
    known = dataclasses.replace(EXTRACTOR, trained_on=TrainedOn.of(["g1"]).encode())
    store.vectors_of(known)
    assert store.show()[0].extractor == known
    # who does not know it takes nothing away
    store.vectors_of(EXTRACTOR)
    assert store.show()[0].extractor == known and store.show()[0].rows == 1


def test_imported_vectors_of_packaged_weights_have_the_record_of_the_package(
    tmp_path: Path,
) -> None:
    spec = backbone("googlenet-gz2")
    theirs = dataclasses.replace(EXTRACTOR, weights=spec.sha256, trained_on="AAAAAAAAAAA=")
    Store(tmp_path / "theirs").vectors_of(theirs).add(digests(1), rows(1))
    ours = Store(tmp_path / "ours")
    import_vectors(ours, tmp_path / "theirs")
    assert ours.show()[0].extractor.trained_on == spec.trained_on is not None


def test_using_a_shelf_keeps_it_from_being_pruned(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.vectors_of(EXTRACTOR).add(digests(1), rows(1))
    os.utime(tmp_path / EXTRACTOR.fingerprint / "extractor.json", (0, 0))
    store.vectors_of(EXTRACTOR)
    assert store.prune(unused_days=1) == []


def test_prune_removes_what_killed_writers_and_damage_left(tmp_path: Path) -> None:
    store = Store(tmp_path)
    shelf = store.vectors_of(EXTRACTOR)
    shelf.add(digests(1), rows(1))
    stale, fresh, damaged = (
        shelf.folder / name for name in (".a.part.arrow", ".b.part.arrow", "c.damaged")
    )
    for path in (stale, fresh, damaged):
        path.write_bytes(b"x")
    os.utime(stale, (0, 0))
    store.prune()
    assert not stale.exists() and not damaged.exists() and fresh.exists()
    assert shelf.has(digests(1)).all()


def test_import_brings_the_vectors_that_are_lacking_and_nothing_else(tmp_path: Path) -> None:
    own, other = Store(tmp_path / "own"), Store(tmp_path / "other")
    own.vectors_of(EXTRACTOR).add(digests(1, 2), rows(1, 2))
    theirs = dataclasses.replace(EXTRACTOR, trained_on="AAAAAAAAAAA=")
    other.vectors_of(theirs).add(digests(2, 3), rows(2, 3))
    other.vectors_of(theirs).add(digests(4), rows(4))
    folder = other.vectors_of(theirs).folder
    for name in ("compiled-0123-1-1-8.so", "model.blob", "notes.txt", ".hidden"):
        (folder / name).write_bytes(b"harmless stand-in")
    (imported,) = import_vectors(own, other.root)
    assert (imported.fingerprint, imported.rows, imported.present) == (EXTRACTOR.fingerprint, 2, 1)
    np.testing.assert_array_equal(
        own.vectors_of(EXTRACTOR).vectors(digests(1, 2, 3, 4)), rows(1, 2, 3, 4)
    )
    assert {path.suffix for path in own.vectors_of(EXTRACTOR).folder.iterdir()} == {
        ".arrow",
        ".json",
    }
    assert own.show()[0].extractor == EXTRACTOR, (
        "a stranger's list of training galaxies is not taken"
    )
    assert [each.rows for each in import_vectors(own, other.root)] == [0]


def test_import_leaves_out_what_is_damaged_not_finite_or_a_link_and_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # short names, for lines that are cut
    own, other = Store(Path("own")), Store(Path("other"))
    shelf = other.vectors_of(EXTRACTOR)
    for number in range(4):
        shelf.add(digests(number), rows(number) * (np.nan if number == 1 else 1))
    nan = next(path for path in shards(shelf) if not np.isfinite(shard.read(path, 4)[1]).all())
    flipped, linked, whole = (path for path in shards(shelf) if path != nan)
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 1
    flipped.write_bytes(content)
    linked.rename(tmp_path / "elsewhere")
    linked.symlink_to(tmp_path / "elsewhere")
    (imported,) = import_vectors(own, other.root)
    assert (
        imported.rows == len(shard.read(whole, 4)[0]) == 1 and len(own.vectors_of(EXTRACTOR)) == 1
    )
    assert len(imported.refused) == 3 and all(
        len(line.splitlines()) == 1 for line in imported.refused
    )
    reasons = dict(line.split(": ", 1) for line in imported.refused)
    assert reasons[str(flipped)].startswith("shard is damaged")
    assert reasons[str(linked)].startswith("shard cannot be opened; must be a file, no link")
    assert reasons[str(nan)].startswith("shard has vectors that are not finite")


def test_import_calls_a_full_disk_that_and_no_shard_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Store(tmp_path / "other").vectors_of(EXTRACTOR)
    other.add(digests(1, 2), rows(1, 2))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("gzfeatures.features.store_import.shutil.copyfileobj", full)
    with pytest.raises(OutputError, match="shard cannot be copied: No space left on device"):
        import_vectors(Store(tmp_path / "own"), tmp_path / "other")


def test_import_refuses_what_is_no_store_or_says_another_extractor_than_its_name(
    tmp_path: Path,
) -> None:
    own, other = Store(tmp_path / "own"), Store(tmp_path / "other")
    with pytest.raises(MissingFileError, match="store not found"):
        import_vectors(own, other.root)
    other.root.mkdir()
    with pytest.raises(InputError, match=r"no store; must hold a folder with extractor\.json"):
        import_vectors(own, other.root)
    shelf = other.vectors_of(EXTRACTOR)
    shelf.add(digests(1), rows(1))
    with pytest.raises(InputError, match="store to import from; must differ from your own store"):
        import_vectors(other, other.root)
    record = shelf.folder / "extractor.json"
    fields = json.loads(record.read_text())
    for changed in ({"dim": 5}, {"dim": "4"}, {"dim": -4}, {"view": None}, {"backbone": 3}):
        record.write_text(json.dumps(fields | changed))
        with pytest.raises(
            InputError,
            match=r"record of the store is (of another extractor|damaged)|record cannot be read",
        ):
            import_vectors(own, other.root)
    record.write_text("[")
    with pytest.raises(InputError, match=r"cannot be read|damaged"):
        import_vectors(own, other.root)
    assert own.show() == []


def test_import_on_the_command_line(tmp_path: Path) -> None:
    from verbs import gz  # late: the writers below import this file where there are no verbs

    other = Store(tmp_path / "other")
    other.vectors_of(EXTRACTOR).add(digests(1), rows(1))
    result = gz("store", "import", other.root)
    assert [each["rows"] for each in result["imported"]] == [1] and [
        each["rows"] for each in result["entries"]
    ] == [1]
    assert result["compiled"] == {
        "folder": os.environ["GZFEATURES_COMPILED"],
        "files": 0,
        "bytes": 0,
    }
    for wrong in (
        ["import"],
        ["show", str(other.root)],
        ["show", "--max-gb", "1"],
        ["import", "x", "--backbone", "y"],
    ):
        assert CliRunner().invoke(app, ["store", *wrong]).exit_code == 2


WRITER = """
import sys
from pathlib import Path
from test_store import EXTRACTOR, digests, rows
from gzfeatures.features.store import Store
shelf = Store(Path(sys.argv[1])).vectors_of(EXTRACTOR)
for number in range(100_000):
    shelf.add(digests(number), rows(number))
    print(number, flush=True)
    if number % 20 == 19:
        shelf.compact()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kill -9 is a Unix word")
@pytest.mark.parametrize("after", [3, 19, 40])
def test_kill_9_loses_at_most_the_open_shard(tmp_path: Path, after: int) -> None:
    here = Path(__file__).parent
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], cwd=here, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        last = -1
        while last < after:
            last = int(writer.stdout.readline())
        writer.kill()
    shelf = Store(tmp_path).vectors_of(EXTRACTOR)
    done = list(range(last + 1))
    assert shelf.has(digests(*done)).all()
    np.testing.assert_array_equal(shelf.vectors(digests(*done)), rows(*done))


def test_shard_is_readable_with_pyarrow_alone(tmp_path: Path) -> None:
    import pyarrow as pa

    path = shard.write(tmp_path, shard.as_keys(digests(7)), rows(7))
    assert path.stem == fingerprint.of_file(path)
    with pa.OSFile(str(path)) as source:
        table = pa.ipc.open_file(source).read_all()
    assert table["image_sha256"].to_pylist() == [bytes.fromhex(digests(7)[0])]
    assert table["embedding"].to_pylist() == rows(7).tolist()


def test_shard_of_another_length_is_refused(tmp_path: Path) -> None:
    path = shard.write(tmp_path, shard.as_keys(digests(7)), rows(7))
    with pytest.raises(InputError, match="store shard cannot be read"):
        shard.read(path, 5)
