"""What a library needs of the whole process is set while it is used, and put back, whatever happens meanwhile."""

import logging
import os

import pytest

from search.stores.process import process_settings

NAMES = ("deeppp.loud", "deeppp.hushed")


@pytest.fixture
def loggers() -> list[logging.Logger]:
    """One that passes everything on, and one that says itself what it passes on."""
    loud, hushed = map(logging.getLogger, NAMES)
    loud.setLevel(logging.NOTSET)
    hushed.setLevel(logging.WARNING)
    return [loud, hushed]


def test_variables_and_loggers_are_set_and_put_back(
    loggers: list[logging.Logger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPPP_GIVEN", "by the user")
    monkeypatch.delenv("DEEPPP_ABSENT", raising=False)
    before = dict(os.environ)
    with process_settings({"DEEPPP_GIVEN": "by us", "DEEPPP_ABSENT": "by us"}, NAMES):
        assert (os.environ["DEEPPP_GIVEN"], os.environ["DEEPPP_ABSENT"]) == ("by the user", "by us")
        assert not any(logger.isEnabledFor(logging.ERROR) for logger in loggers)
        assert all(logger.isEnabledFor(logging.CRITICAL) for logger in loggers)
    assert dict(os.environ) == before
    assert [logger.level for logger in loggers] == [logging.NOTSET, logging.WARNING]


def test_an_error_and_a_variable_that_is_gone_do_no_harm(loggers: list[logging.Logger]) -> None:
    before = dict(os.environ)

    def interrupted() -> None:
        with process_settings({"DEEPPP_ABSENT": "by us"}, NAMES):
            del os.environ["DEEPPP_ABSENT"]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert dict(os.environ) == before
    assert [logger.level for logger in loggers] == [logging.NOTSET, logging.WARNING]


def test_nested_settings_end_with_the_outermost(loggers: list[logging.Logger]) -> None:
    with process_settings({"DEEPPP_ABSENT": "outer"}, NAMES):
        with process_settings({"DEEPPP_ABSENT": "inner"}, NAMES):
            assert os.environ["DEEPPP_ABSENT"] == "outer"
        assert os.environ["DEEPPP_ABSENT"] == "outer"
        assert not loggers[1].isEnabledFor(logging.ERROR)
    assert "DEEPPP_ABSENT" not in os.environ
    assert loggers[1].level == logging.WARNING
