from pathlib import Path

import pytest

from data.file_digest import content_digest, file_digest, folder_digest
from data.videos import expand_videos
from pipeline.errors import UserError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "gate/a 10.mp4",
        "gate/a 2.mp4",
        "hall/é.MKV",
        "hall/notes.txt",
        ".hidden/x.mp4",
        "gate/._x.mp4",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "hall" / "loop").symlink_to(tmp_path)
    return tmp_path


def names(spec: object) -> list[str]:
    return [p.name for p in expand_videos(str(spec))]


def test_folder_glob_list_and_site_file(tree: Path) -> None:
    assert names(tree) == ["a 2.mp4", "a 10.mp4", "é.MKV"]
    assert names(tree / "gate" / "*.mp4") == ["a 2.mp4", "a 10.mp4"]
    (tree / "list.txt").write_text("# mine\nhall/é.MKV\n\ngate/a 2.mp4\n", encoding="utf-8")
    assert names(tree / "list.txt") == ["a 2.mp4", "é.MKV"]
    (tree / "site.yaml").write_text("cameras: [{id: hall, videos: ['hall/*.MKV']}, {id: gate}]")
    assert names(tree / "site.yaml") == ["é.MKV"]
    (tree / "site.yaml").write_text("cameras: [{id: hall}, {id: gate}]")
    assert len(names(tree / "site.yaml")) == 3
    assert names(tree / "gate" / "a 2.mp4") == ["a 2.mp4"]


@pytest.mark.parametrize(
    "spec", ["absent", "*.avi", "hall/loop/.hidden/none/*.mp4", "empty", "empty.txt", "lost.txt"]
)
def test_nothing_found_is_one_sentence(tree: Path, spec: str) -> None:
    (tree / "empty").mkdir()
    (tree / "empty.txt").write_text("\n")
    (tree / "lost.txt").write_text("gate/gone.mp4\n")
    with pytest.raises(UserError):
        expand_videos(str(tree / spec))


def test_a_live_stream_is_to_be_recorded_first() -> None:
    with pytest.raises(UserError, match=r"rtsp://cam/1: live streams are not read; record them first"):
        expand_videos("rtsp://cam/1")


def test_file_digest_follows_content_and_not_time(tree: Path) -> None:
    memory, path = tree / "memory.json", tree / "gate" / "a 2.mp4"
    first = file_digest(path, memory)
    assert first == content_digest(path) == file_digest(path, memory)
    path.touch()
    assert file_digest(path, memory) == first
    path.write_bytes(b"yy")
    assert file_digest(path, memory) == content_digest(path) != first
    memory.write_text("{damaged")
    assert file_digest(path, memory) == content_digest(path)


def test_a_remembered_digest_is_not_read_again(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, path = tree / "memory.json", tree / "gate" / "a 2.mp4"
    first = file_digest(path, memory)

    def never(_: Path) -> str:
        raise AssertionError("read again")

    monkeypatch.setattr("data.file_digest.content_digest", never)
    assert file_digest(path, memory) == first


def test_folder_digest_sees_names_and_contents(tree: Path) -> None:
    memory = tree.parent / f"{tree.name}.json"
    before = folder_digest(tree / "gate", memory)
    assert folder_digest(tree / "gate", memory) == before
    (tree / "gate" / "a 2.mp4").rename(tree / "gate" / "a 3.mp4")
    assert folder_digest(tree / "gate", memory) != before


@pytest.mark.parametrize(
    "folder",
    [
        "@eaDir/a.mp4",
        "#recycle",
        "$RECYCLE.BIN",
        "lost+found",
        "System Volume Information",
        ".Trash-1000",
        ".stfolder",
    ],
)
def test_service_folders_hold_no_recordings(tmp_path: Path, folder: str) -> None:
    for name in (f"{folder}/x.mp4", f"gate/{folder}/y.mp4", "gate/a.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert names(tmp_path) == ["a.mp4"]
    assert names(tmp_path / "**" / "*.mp4") == ["a.mp4"]
    if not folder.startswith("."):
        assert names(tmp_path / folder) == ["x.mp4"], "named itself, it is meant"
