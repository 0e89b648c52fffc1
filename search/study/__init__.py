"""The study file: what a search is about, validated, and every mistake in it as one sentence."""

from search.study.errors import StudyError
from search.study.files import load_study, load_trial
from search.study.study import Study

__all__ = ["Study", "StudyError", "load_study", "load_trial"]
