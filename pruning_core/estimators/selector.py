"""`PruningSelector`: n of the inputs, for whatever comes next in a pipeline."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.validation import check_is_fitted

from pruning_core.estimators.base import PruningEstimator


class PruningSelector(SelectorMixin, PruningEstimator):
    """Selects the inputs that a pruned network keeps.

    Trains and chooses a replica as `PruningClassifier` does and has the same parameters and attributes, but for what is
    about labels; ``transform`` gives the columns that this replica keeps.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from pruning_core import PruningSelector
    >>> X, y = load_wine(return_X_y=True, as_frame=True)
    >>> selector = PruningSelector(4, n_replicas=2, random_state=0)
    >>> pipeline = make_pipeline(selector, StandardScaler(), LogisticRegression()).fit(X, y)
    >>> len(selector.get_feature_names_out()), pipeline.score(X, y) > 0.9
    (4, True)
    """

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> "PruningSelector":
        """Train and prune; see `PruningClassifier.fit`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Raw inputs.
        y : array-like of shape (n_samples,)
            Labels of any kind.
        sample_weight : array-like of shape (n_samples,), optional
            How much each row counts.
        X_val, y_val, sample_weight_val : array-like, optional
            The validation part, in place of a share of the rows.

        Returns
        -------
        self
        """
        self._fit(self._rows(X, y, sample_weight), self._validation_rows(X_val, y_val, sample_weight_val))
        return self

    def _get_support_mask(self) -> NDArray[np.bool_]:
        check_is_fitted(self)
        mask: NDArray[np.bool_] = self.support_
        return mask

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags
