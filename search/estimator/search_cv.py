"""`PruningSearchCV`: a whole study from arrays or DataFrames, on this machine or on a cluster."""

from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.model_selection import check_cv
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from pruning_core.data import Dataset, from_arrays, parse_split
from pruning_core.data.split import Fractions, Labels
from pruning_core.estimators import PruningClassifier
from pruning_core.estimators.base import check_weight, hyperparameters
from pruning_core.estimators.parts import Rows, split_off
from search.estimator.cv_results import cv_results
from search.propose.ledger import optuna_study, read_ledger
from search.run import run_study
from search.stores.opening import existing_store
from search.study import Study, StudyError
from search.study.entries import HOMES
from search.study.files import read_study

SCORINGS = {
    "accuracy": "pruned_accuracy",
    "balanced_accuracy": "pruned_balanced_accuracy",
    "roc_auc": "pruned_auc",
}
"""scikit-learn's words for objectives of a study file."""


class PruningSearchCV(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Search the hyperparameters under which pruning completes and is most accurate, as `deeppp search` does.

    The search runs on Ray, its trials go to Optuna and MLflow below `output`, and an interrupted one goes on with
    ``resume=True``. The best trials of each strategy are trained again with fresh seeds; the most accurate
    one that completes wins.

    Parameters
    ----------
    estimator : PruningClassifier, optional
        What is searched for: n, hyperparameters that are fixed because they differ from their defaults, and how trials
        train (``epochs``, ``batch_size``, ``n_replicas``, ``settle_epochs``, ``tolerance``, ``hidden``).
    param_distributions : mapping, optional
        The section `space` of a study file: a name has a fixed value, ``{"low": …, "high": …, "log": True}`` or
        ``{"choices": […]}``. What is left out keeps its built-in range.
    n_trials : int, default=40
        How many trials the search has.
    strategies : sequence of str, optional
        What competes; by default ``adaptive``, ``stepped``, ``plateau`` and ``swap``.
    scoring : str, default="accuracy"
        ``accuracy``, ``balanced_accuracy`` or ``roc_auc``, under the hard mask, or what a study file has as
        `search.objective`.
    cv : int, splitter or iterable of one (training, validation) pair, optional
        A number K stands for `training.folds`: all rows but the test part are dealt into K stratified folds, and each
        seed holds out one. A splitter must make a single split, such as ``ShuffleSplit(1)`` or ``PredefinedSplit``;
        `fit` needs ``X_test`` then. None splits as a study file does (`data.split`: 70 % training, 15 % validation,
        15 % test, stratified), or, where `fit` gets ``X_test``, as the estimator does.
    random_state : int, default=0
        The seed of the sampler; trials have seeds of their own.
    name : str, default="pruning"
        Of the study, and of its experiment in MLflow.
    output : str or Path, default="runs"
        The folder of the results.
    resume : bool, default=False
        Go on with the latest search of this name in `output`.
    study : mapping, optional
        Further sections of a study file, such as ``{"search": {"sampler": "gp"}, "resources": {"cpu": 2}}``; what
        stands here wins.
    run : mapping, optional
        Further arguments of `run_study`: ``address`` of a Ray cluster, ``storage``, ``tracking_uri``, ``progress``.

    Attributes
    ----------
    best_params_ : dict
        What the search chose: the strategy, and its hyperparameters that were searched.
    best_score_ : float
        The score of this configuration on the validation part, a mean over fresh seeds; refitted, if that is better.
    best_index_ : int
        Its trial's place in ``cv_results_``.
    best_estimator_ : PruningClassifier
        The estimator with ``best_params_``, fitted to all rows that `fit` got.
    cv_results_ : dict of arrays
        The trials, as scikit-learn has them; ranks put completion before the score.
    result_ : SearchResult
        The search: strategies with their test scores, the winner's network, the report.
    study_ : optuna.Study
        The search in Optuna.
    mlflow_run_id_ : str
        The search in MLflow: the parent of all its trials.
    classes_, n_features_in_, feature_names_in_
        As everywhere in scikit-learn.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from search import PruningSearchCV
    >>> from pruning_core import PruningClassifier
    >>> X, y = load_wine(return_X_y=True, as_frame=True)
    >>> search = PruningSearchCV(PruningClassifier(4), {"growth": {"low": 1.1, "high": 2.0}}, n_trials=12)
    >>> search.fit(X, y).best_params_  # doctest: +SKIP
    {'strategy': 'adaptive', ...}
    """

    def __init__(
        self,
        estimator: PruningClassifier | None = None,
        param_distributions: Mapping[str, Any] | None = None,
        *,
        n_trials: int = 40,
        strategies: Sequence[str] | None = None,
        scoring: str = "accuracy",
        cv: Any = None,
        random_state: int = 0,
        name: str = "pruning",
        output: str | Path = "runs",
        resume: bool = False,
        study: Mapping[str, Any] | None = None,
        run: Mapping[str, Any] | None = None,
    ) -> None:
        self.estimator = estimator
        self.param_distributions = param_distributions
        self.n_trials = n_trials
        self.strategies = strategies
        self.scoring = scoring
        self.cv = cv
        self.random_state = random_state
        self.name = name
        self.output = output
        self.resume = resume
        self.study = study
        self.run = run

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, X_test: Any = None, y_test: Any = None
    ) -> "PruningSearchCV":
        """Search, and fit the best configuration.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Raw inputs.
        y : array-like of shape (n_samples,)
            Labels of any kind.
        sample_weight : array-like of shape (n_samples,), optional
            How much each row counts.
        X_test, y_test : array-like, optional
            The test part, which is read once, for the confirmed trials.

        Returns
        -------
        self

        Raises
        ------
        StudyError
            The study cannot be run, or has no winner.
        search.Stopped
            The search ended early; everything so far is saved for ``resume=True``.
        """
        values, labels = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2, ensure_min_features=2)
        check_classification_targets(labels)
        rows = Rows(values, labels, check_weight(sample_weight, values))
        base = self.estimator or PruningClassifier()
        study = self._study(base)
        data = self._data(rows, self._test(X_test, y_test), study, base)
        if self.cv is None:
            study = study.with_folds(data)
        self.result_ = run_study(study, data, output=self.output, resume=self.resume, **(self.run or {}))
        winner = self.result_.winner
        if winner is None:
            raise StudyError(f"the search {self.result_.json['study']} has no winner: none of its trials was confirmed")
        best = self.result_.strategies[winner]
        trials = read_ledger(self.result_.json["study"], self._storage).trials
        self.cv_results_ = cv_results(trials)
        self.best_index_ = int(best["trial"])
        self.best_params_ = dict(trials[self.best_index_].params)
        self.best_score_ = float(best["validation"]["mean"])
        self.best_estimator_ = clone(base).set_params(**self.best_params_).fit(X, y, sample_weight)
        self.classes_ = self.best_estimator_.classes_
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The labels that the best estimator gives, (n_samples,)."""
        return self._best.predict(X)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probabilities that the best estimator gives, (n_samples, C)."""
        return self._best.predict_proba(X)

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """The outputs of the best estimator, (n_samples, C); of two classes their difference, (n_samples,)."""
        return self._best.decision_function(X)

    @property
    def study_(self) -> Any:
        """The search in Optuna (`optuna.Study`), to be read."""
        return optuna_study(self.result_.json["study"], self._storage)

    @property
    def mlflow_run_id_(self) -> str:
        """The search's run in MLflow, the parent of all its trials."""
        run_id: str = self.result_.json["mlflow"]["parent_run_id"]
        return run_id

    @property
    def _best(self) -> PruningClassifier:
        check_is_fitted(self)
        return self.best_estimator_

    @property
    def _storage(self) -> str:
        return existing_store(self.result_.stored.storage, self.result_.stored.output, "optuna.db")

    def _study(self, base: PruningClassifier) -> Study:
        """The study file that these parameters amount to."""
        if base.network is not None:
            raise StudyError("estimator.network must be None: a search trains the built-in network")
        values, searched = base.get_params(), dict(self.param_distributions or {})
        document: dict[str, Any] = {
            "name": self.name,
            "data": {"source": self.name, "keep": base.n_to_select(self.n_features_in_)},
            "training": {"seeds": base.n_replicas},
            "space": searched,
            "search": {
                "trials": self.n_trials,
                "objective": SCORINGS.get(self.scoring, self.scoring),
                "seed": self.random_state,
            },
        }
        defaults = hyperparameters()
        if self.strategies is not None:
            document["strategies"] = list(self.strategies)
        elif base.strategy != defaults["strategy"]:
            document["strategies"] = [base.strategy]
        for name, default in defaults.items():
            section, _, key = HOMES.get(name, f"space.{name}").partition(".")
            if key and name not in searched and (name in HOMES or values[name] != default):
                document.setdefault(section, {})[key] = values[name]
        if isinstance(self.cv, Integral):
            document.setdefault("training", {})["folds"] = int(self.cv)
        for section, given in (self.study or {}).items():
            known = document.get(section)
            document[section] = (
                {**known, **given} if isinstance(known, Mapping) and isinstance(given, Mapping) else given
            )
        return read_study(document)

    def _test(self, X_test: Any, y_test: Any) -> Rows | None:
        if X_test is None and y_test is None:
            return None
        if X_test is None or y_test is None:
            raise ValueError("X_test and y_test must be given together")
        X_test = validate_data(self, X_test, dtype=np.float64, reset=False)
        check_consistent_length(X_test, y_test)
        return Rows(X_test, column_or_1d(y_test, warn=True), None)

    def _data(self, rows: Rows, test: Rows | None, study: Study, base: PruningClassifier) -> Dataset:
        """The rows in three parts."""
        weighted = rows.weight is not None
        if self.cv is not None and not isinstance(self.cv, Integral):
            training, validation = self._cv_split(rows, test)
        elif test is not None:
            training, validation = split_off(rows.without_weightless(), base.validation_fraction, self.random_state)
        else:
            training, validation, test = _as_a_study_does(rows.without_weightless(), study)
        assert test is not None
        parts = [part.as_part(weighted) for part in (training, validation, test)]
        return from_arrays(*parts, name=self.name, feature_names=getattr(self, "feature_names_in_", None))

    def _cv_split(self, rows: Rows, test: Rows | None) -> tuple[Rows, Rows]:
        splitter = check_cv(self.cv, rows.y, classifier=True)
        splits = splitter.get_n_splits(rows.x, rows.y)
        if splits != 1:
            raise ValueError(
                f"cv = {self.cv!r} makes {splits} splits and must make one, as ShuffleSplit(1) does, "
                "or be a number of folds"
            )
        if test is None:
            raise ValueError(f"cv = {self.cv!r} makes a training and a validation part: give fit X_test and y_test too")
        (train, validation), *_ = splitter.split(rows.x, rows.y)
        return rows.at(train), rows.at(validation)


def _as_a_study_does(rows: Rows, study: Study) -> tuple[Rows, Rows, Rows]:
    """Training, validation and test part by `data.split` and `data.split_seed`."""
    split = parse_split(study.data.split)
    if not isinstance(split, Fractions):
        raise StudyError(
            f"data.split = {study.data.split!r} must be three fractions: arrays have no columns to split by"
        )
    names, codes = np.unique(rows.y, return_inverse=True)
    parts = split.parts(Labels(codes, tuple(map(str, names)), "y"), study.data.split_seed)
    training, validation, test = (rows.at(part) for part in parts)
    return training, validation, test
