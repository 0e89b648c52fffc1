"""Where the files of a study lie, and where they lie now."""

from pathlib import Path
from typing import Any

import pytest

from search.study import StudyError
from search.study.paths import are_there, from_folder, moved

BY_CLASS = {"signal": "sig/a_*.root:tree/events", "background": ["wz.csv", "https://host/x.csv"]}


@pytest.fixture
def new(tmp_path: Path) -> Path:
    (tmp_path / "new").mkdir()
    return tmp_path / "new"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a.csv", "{new}/a.csv"),
        ("a_*.root:events", "{new}/a_*.root:events"),
        ("sub_?/x.csv", "{new}/sub_?/x.csv"),
        (("one/a.csv", "two/b.csv"), ("{new}/one/a.csv", "{new}/two/b.csv")),
        (
            BY_CLASS,
            {
                "signal": "{new}/sig/a_*.root:tree/events",
                "background": ["{new}/wz.csv", "https://host/x.csv"],
            },
        ),
    ],
)
def test_a_folder_takes_the_place_of_the_one_above_all_files(source: Any, expected: Any, new: Path) -> None:
    data = moved(from_folder({"source": source, "keep": 2}, new.parent / "old"), new)
    assert repr(data["source"]) == repr(expected).replace("{new}", str(new))
    assert data["keep"] == 2


def test_files_of_the_split_move_along(new: Path) -> None:
    given = {"source": "x/train.csv", "split": {"validation": "y/v.csv", "test": ["y/t_*.csv"]}}
    data = moved(from_folder(given, new.parent / "old"), new)
    assert data["source"] == str(new / "x/train.csv")
    assert data["split"] == {"validation": str(new / "y/v.csv"), "test": [str(new / "y/t_*.csv")]}


def test_a_file_takes_the_place_of_a_single_one(new: Path) -> None:
    data = moved(from_folder({"source": "a.root:Events", "split": [0.7, 0.2, 0.1]}, new.parent / "old"), new / "b.root")
    assert data == {"source": f"{new / 'b.root'}:Events", "split": [0.7, 0.2, 0.1]}


@pytest.mark.parametrize("source", [("a.csv", "b.csv"), "a*.csv", BY_CLASS])
def test_a_file_cannot_stand_for_several(source: Any, new: Path) -> None:
    with pytest.raises(StudyError, match=r"must be a folder that holds what .*old held: the study names several files"):
        moved(from_folder({"source": source}, new.parent / "old"), new / "b.csv")


def test_a_named_set_has_no_place(new: Path) -> None:
    with pytest.raises(StudyError, match=r"must be left out: data.source = .*digits.* names no file"):
        moved({"source": "digits"}, new)


def test_files_that_are_gone_are_missed(new: Path) -> None:
    (new / "a_1.csv").touch()
    for source, there in (("a_1.csv", True), ("a_*.csv", True), ("b_*.csv", False), (["a_1.csv", "b.csv"], False)):
        assert are_there(from_folder({"source": source}, new)) is there
    assert are_there({"source": "digits"})
    assert are_there({"source": "https://host/x.csv"})
