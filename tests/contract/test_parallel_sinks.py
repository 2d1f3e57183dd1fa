"""The built-in parallel sinks pass their kit; every check of it catches a sink that is broken."""

from __future__ import annotations

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gapcast.engine.sink import Committed
from gapcast.engine.testing import parallel_sink
from gapcast.engine.testing.parallel_sink import CHECKS
from gapcast.plugins.sinks import staging
from gapcast.plugins.sinks.files import FilesSink
from gapcast.plugins.sinks.parquet import StagedPart


def files(folder, sink=FilesSink):
    return sink(FilesSink.Params(path=folder / "out"))


def read_back(folder):
    stages = [path for path in (folder / "out", folder / "out-ahead") if [*path.rglob("*.parquet")]]
    return pa.concat_tables([pq.read_table(path, partitioning=None) for path in stages])


TestFiles = parallel_sink(files, read_back, stages=True)
TestFilesInPieces = parallel_sink(
    lambda folder: FilesSink(FilesSink.Params(path=folder / "out", rows=3)), read_back, stages=True
)


class LosesAPart(FilesSink):
    def commit(self, epoch, committables):
        return super().commit(epoch, committables[:1])


class LosesWhatIsAhead(FilesSink):
    def commit(self, epoch, committables):
        return super().commit(epoch, [[of for of in part if not of[0]] for part in committables])


class Hasty(FilesSink):
    def writer(self, part):
        class Seen(StagedPart):
            def write(self, epoch, rows):
                pq.write_table(rows, f"{part.job.run_dir}/out/{epoch}-{part.number}.parquet")
                super().write(epoch, rows)

        return Seen(*self.place(part.job), part.number, 100)


class Litters(FilesSink):
    def open(self, job, generation):
        staged, aside = job.run_dir / "out/_staged", job.run_dir / "aside"
        if staged.exists():
            shutil.copytree(staged, aside, dirs_exist_ok=True)
        super().open(job, generation)


class Forgets(FilesSink):
    def commit(self, epoch, committables):
        self._next = min(self._next, epoch)
        return super().commit(epoch, committables)


class NotesFirst(FilesSink):
    def commit(self, epoch, committables):
        if epoch < self._next:
            return super().commit(epoch, committables)
        self._note(epoch + 1)
        staging.move(self.folder, self.ahead, staging.moves(epoch, committables))
        return Committed()


BROKEN = {
    "parts_are_stored": (LosesAPart, "were written"),
    "both_stages_are_stored": (LosesWhatIsAhead, "were written"),
    "what_is_prepared_is_not_seen": (Hasty, "read back"),
    "open_removes_what_nobody_committed": (Litters, "left behind"),
    "a_repeated_epoch_changes_nothing": (Forgets, "the answer is Committed"),
    "a_crash_at_any_moment_leaves_every_key_once": (NotesFirst, "answered by AlreadyCommitted"),
}


@pytest.mark.parametrize("check", BROKEN)
def test_parallel_sink_check_catches(check, tmp_path):
    bad, says = BROKEN[check]
    of = parallel_sink(lambda folder: files(folder, bad), read_back, stages=True)
    with pytest.raises(AssertionError, match=says):
        getattr(of(), f"test_{check}")(tmp_path)


def test_every_check_has_its_defect():
    assert list(BROKEN) == [check.__name__ for check in CHECKS]


def test_a_staged_file_that_is_gone_is_an_error(tmp_path):
    from gapcast.engine.errors import SinkError
    from gapcast.engine.storage import open_folder

    folder, day = open_folder(tmp_path), staging.Day(False, "day=2004-03-01")
    with pytest.raises(SinkError, match="_staged/x is gone"):
        staging.move(folder, folder, [(day, "x", "part-1.parquet")])
