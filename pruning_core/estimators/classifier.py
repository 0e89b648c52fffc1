"""`PruningClassifier`: gates and network in one, a classifier that looks at n of its inputs."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from pruning_core.estimators.base import PruningEstimator


class PruningClassifier(ClassifierMixin, PruningEstimator):
    """A network that learns which of its inputs to keep, and predicts from these alone.

    Several replicas are trained at once, each from a seed of its own. The one that predicts is the most accurate on the
    validation part of those that completed the pruning, of equals the one with the lowest cross-entropy; it is never
    retrained without its gates.

    Parameters
    ----------
    n_features_to_select : int or float, default=0.5
        n, how many inputs survive: a count, or a fraction of the inputs (rounded down, but 1 at least).
    n_replicas : int, default=8
        R, how many networks are trained.
    n_decoys : int, default=0
        M, with how many decoys each input competes in a second training; 0 leaves it out. See ``q_values_``.
    validation_fraction : float, default=0.15
        The share of the rows that judges the replicas and trains none, stratified; unused where `fit` gets ``X_val``.
    random_state : int, RandomState or None, default=None
        The seed S of the first replica: the others have S + 1, S + 2 and so on. S also splits off the validation part.
    device : str or None, default=None
        Where to train; None takes ``cuda`` where there is one. Predictions are computed on the CPU.
    network : callable, NetworkSpec or None, default=None
        ``network(config, features, classes)`` makes the module to train, with a `Pruner` on its inputs; None makes the
        built-in one, with hidden layers as wide as ``hidden`` says.
    verbose : bool, default=False
        Print a line now and then.
    **others
        The hyperparameters of `TrialConfig` under their names, such as ``growth``, ``epochs`` or ``strategy``.

    Attributes
    ----------
    classes_ : ndarray of shape (C,)
        The labels.
    support_ : ndarray of bool of shape (n_features_in_,)
        The inputs that the predicting replica keeps.
    ranking_ : ndarray of int of shape (n_features_in_,)
        1 for these, 2 for the input whose gate closed last, and so on to the one that closed first; inputs that are
        constant in training come after all others.
    support_frequency_ : ndarray of float of shape (n_features_in_,)
        The share of the replicas that keep each input.
    q_values_ : ndarray of float of shape (n_features_in_,)
        With ``n_decoys`` only: the smallest rate of false discoveries at which an input is claimed, among knockoffs of
        all inputs (see `pruning_core.selection.claims`). At 0.1 and with four decoys, three inputs at least must win.
    n_features_ : int
        n.
    n_features_in_, feature_names_in_
        As everywhere in scikit-learn.
    outcomes_ : list of str
        What became of each replica: ``complete``, ``too little``, ``collapsed`` or ``undecided``.
    n_iter_ : int
        Epochs trained.
    network_ : PrunedNetwork
        The predicting replica under its hard mask.
    history_ : History
        Every epoch of every replica.

    Warns
    -----
    ConvergenceWarning
        No replica completed the pruning. The most accurate one predicts, with its n largest gates.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from pruning_core import PruningClassifier
    >>> X, y = load_wine(return_X_y=True, as_frame=True)
    >>> classifier = PruningClassifier(4, n_replicas=2, random_state=0).fit(X, y)
    >>> int(classifier.support_.sum()), classifier.score(X, y) > 0.9
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
    ) -> "PruningClassifier":
        """Train and prune.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Raw inputs, which are standardised here; two columns at least.
        y : array-like of shape (n_samples,)
            Labels of any kind.
        sample_weight : array-like of shape (n_samples,), optional
            How much each row counts. A row of weight zero is left out; one of negative weight counts in the validation
            part only.
        X_val, y_val, sample_weight_val : array-like, optional
            The validation part, in place of a share of the rows.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            The rows or a parameter cannot be used.
        """
        rows = self._rows(X, y, sample_weight)
        self._fit(rows, self._validation_rows(X_val, y_val, sample_weight_val))
        self.classes_ = np.unique(rows.without_weightless().y)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable label of each row, (n_samples,)."""
        chosen = self._logits(X).argmax(1)
        labels: NDArray[Any] = self.classes_[chosen]
        return labels

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probability of each class, (n_samples, C)."""
        probabilities: NDArray[np.float64] = softmax(self._logits(X), axis=1)
        return probabilities

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """The outputs of the network, (n_samples, C); of two classes their difference, (n_samples,)."""
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def _logits(self, X: Any) -> NDArray[np.float64]:
        check_is_fitted(self)
        return self.network_.logits(validate_data(self, X, dtype=np.float64, reset=False))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # Of how little it looks at: scikit-learn tries classifiers on two inputs, and one of them is dropped. RFE has
        # the same tag for the same reason.
        tags.classifier_tags.poor_score = True
        return tags
