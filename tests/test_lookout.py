"""Files that are looked at: what counts as a change, in which process, and in what thread."""

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mockware import lookout
from mockware.lookout import DOUBTFUL_LOOKS, LOOK_S, MAX_SETTLING, Files, watch

PATIENCE_S = 30.0  # a failure bound


def opened(*paths: Path) -> Files:
    files = Files()
    for path in paths:
        files.opening(path)
    return files


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "mocks.toml"
    path.write_text("old")
    return path


def keep_time(path: Path, write: Callable[[], object]) -> None:
    """Writes without a trace in the modification time, as two writes within one tick of a clock do."""
    before = path.stat()
    write()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_what_was_not_written_has_not_changed(path: Path) -> None:
    files = opened(path)
    assert [files.changed() for _ in range(DOUBTFUL_LOOKS + 2)] == [[]] * (DOUBTFUL_LOOKS + 2)


def test_no_files_are_nothing_to_look_at(path: Path) -> None:
    assert not Files()
    assert opened(path)


@pytest.mark.parametrize("looks", [0, DOUBTFUL_LOOKS + 1])
def test_a_write_is_a_change_of_that_file_alone(path: Path, tmp_path: Path, looks: int) -> None:
    other = tmp_path / "other.toml"
    other.write_text("other")
    files = opened(other, path)
    for _ in range(looks):
        files.changed()
    path.write_text("new")
    assert files.changed() == [path]


def test_a_write_within_one_tick_of_the_clock_is_found_by_the_content(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = lookout._state_of(path)
    monkeypatch.setattr(lookout, "_state_of", lambda path: state)
    files = opened(path)
    path.write_text("new")
    assert files.changed() == [path]


def test_the_content_is_not_read_again_once_it_is_beyond_doubt(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = opened(path)
    for _ in range(DOUBTFUL_LOOKS):
        files.changed()
    monkeypatch.setattr(lookout, "_digest_of", None)
    assert files.changed() == []


def test_a_file_that_is_touched_or_replaced_by_the_same_has_not_changed(path: Path) -> None:
    files = opened(path)
    os.utime(path, (1, 1))
    assert files.changed() == []
    same = path.with_suffix(".new")
    same.write_text("old")
    same.rename(path)
    assert files.changed() == []
    path.write_text("new")
    assert files.changed() == [path]


def test_a_file_that_was_touched_is_in_doubt_once_more(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = opened(path)
    for _ in range(DOUBTFUL_LOOKS):
        files.changed()
    os.utime(path, (1, 1))
    assert files.changed() == []
    state = lookout._state_of(path)
    monkeypatch.setattr(lookout, "_state_of", lambda path: state)
    path.write_text("new")  # within the same tick
    assert files.changed() == [path]


def test_a_file_that_an_editor_puts_in_the_place_has_changed(path: Path) -> None:
    files = opened(path)
    other = path.with_suffix(".swp")
    other.write_text("new")
    keep_time(path, lambda: other.rename(path))
    assert files.changed() == [path]


def test_a_file_that_goes_and_one_that_comes_have_changed(path: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    files = opened(path, missing)
    assert files.changed() == []
    path.unlink()
    missing.write_text("here")
    assert files.changed() == [path, missing]


def test_a_link_that_leads_elsewhere_has_changed_as_in_a_volume_of_kubernetes(tmp_path: Path) -> None:
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "mocks.toml").write_text(version)
    (tmp_path / "..data").symlink_to("one")
    path = tmp_path / "mocks.toml"
    path.symlink_to(Path("..data", "mocks.toml"))
    files = opened(path)
    assert files.changed() == []
    (tmp_path / "..data_tmp").symlink_to("two")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert files.changed() == [path]


def test_what_is_written_after_the_opening_is_a_change_whoever_opens_it_again(path: Path) -> None:
    files = opened(path)
    path.write_text("new")
    files.opening(path)
    assert files.changed() == [path]


def test_what_is_no_regular_file_is_never_read(tmp_path: Path) -> None:
    pipe = tmp_path / "mocks.toml"
    os.mkfifo(pipe)
    assert opened(pipe, tmp_path).changed() == []


def test_settling_waits_until_nobody_writes(path: Path) -> None:
    files = opened(path)
    texts = ["", "ne", "new", "new"]
    waited: list[float] = []

    def pause(seconds: float) -> None:
        waited.append(seconds)
        if path.read_text() != (text := texts[len(waited) - 1]):
            path.write_text(text)

    files.settle(pause)
    assert len(waited) == len(texts)


def test_settling_has_a_bound(path: Path) -> None:
    files = opened(path)
    waited: list[float] = []

    def pause(seconds: float) -> None:
        waited.append(seconds)
        path.write_text("x" * len(waited))

    files.settle(pause)
    assert len(waited) == MAX_SETTLING
    assert sum(waited) <= LOOK_S


# ---- the thread


class Looker:
    """Tells of each look, and by whom."""

    def __init__(self, error: Exception | None = None) -> None:
        self.looked = threading.Event()
        self.thread: threading.Thread | None = None
        self.slept = False
        self.error = error

    def look(self, pause: Callable[[float], object]) -> None:
        self.thread = threading.current_thread()
        self.looked.set()
        if self.error is not None:
            raise self.error

    def fall_asleep(self) -> None:
        self.slept = True


def test_all_who_watch_share_one_thread_that_ends_with_the_process() -> None:
    first, second = Looker(), Looker()
    watch(first)
    watch(second)
    assert first.looked.wait(PATIENCE_S)
    assert second.looked.wait(PATIENCE_S)
    assert first.thread is second.thread
    assert first.thread is not None
    assert first.thread.daemon
    assert first.thread.name == "mockware-watch"


def test_whoever_begins_to_watch_is_looked_after_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout, "_thread", lookout._Looking())
    monkeypatch.setattr(lookout, "LOOK_S", 100 * PATIENCE_S)
    first, second = Looker(), Looker()
    watch(first)
    assert first.looked.wait(PATIENCE_S)
    watch(second)
    assert second.looked.wait(PATIENCE_S)
    del first, second
    lookout._thread._added.set()  # or the thread would be there for as long as that


def test_one_that_fails_is_logged_and_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    bad, good = Looker(RuntimeError("a bug")), Looker()
    watch(bad)
    assert bad.looked.wait(PATIENCE_S)
    watch(good)
    assert good.looked.wait(PATIENCE_S)
    bad.looked.clear()
    assert bad.looked.wait(PATIENCE_S), "there is another time"
    assert "looking at rules files failed" in caplog.text
    bad.error = None  # or it would go on in the log of every other test


def test_the_thread_ends_when_nobody_watches_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout, "_thread", lookout._Looking())
    looker = Looker()
    watch(looker)
    assert looker.looked.wait(PATIENCE_S)
    thread = looker.thread
    assert thread is not None
    del looker
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    another = Looker()
    watch(another)
    assert another.looked.wait(PATIENCE_S)


def test_without_a_thread_to_be_had_it_is_said_and_nothing_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(lookout, "_thread", lookout._Looking())
    monkeypatch.setattr(threading.Thread, "start", none)
    with caplog.at_level(logging.WARNING):
        watch(Looker())
    assert "are not watched by process" in caplog.text


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_in_a_child_of_a_fork_everybody_sleeps_until_somebody_watches_again() -> None:
    looker = Looker()
    watch(looker)
    assert looker.looked.wait(PATIENCE_S)
    with lookout._thread._lock:  # which the child would wait for, were it the same
        child = os.fork()
        if child == 0:
            looker.looked.clear()
            watch(looker)
            os._exit(0 if looker.slept and looker.looked.wait(PATIENCE_S) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not looker.slept
