"""What `PruningClassifier` and `PruningSelector` share: their parameters, and a `fit` that trains and prunes."""

import inspect
import warnings
from collections import Counter
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, validate_data

from pruning_core.config import TrialConfig
from pruning_core.data import from_arrays
from pruning_core.estimators.parts import Rows, split_off
from pruning_core.estimators.pruned import KeptInputs, chosen_replica, pruned_network
from pruning_core.history import EpochRecord
from pruning_core.networks import GATED_MLP, NetworkFactory, NetworkSpec
from pruning_core.training import Training, train

RENAMED = {"keep": "n_features_to_select", "seeds": "n_replicas"}
"""Hyperparameters that have another name here: scikit-learn's."""
LEFT_OUT = {*RENAMED, "arguments"}

ADVICE = {
    "too little": "a larger growth or more epochs let more gates close",
    "undecided": "a larger growth or more epochs let the last gates decide",
    "collapsed": "more epochs let gates open again, a smaller growth keeps them from all closing at once",
}
LINES = 10


def hyperparameters() -> dict[str, Any]:
    """The hyperparameters that are parameters of an estimator, with their defaults; those of own strategies too."""
    return {name: info.default for name, info in TrialConfig.model_fields.items() if name not in LEFT_OUT}


class PruningEstimator(BaseEstimator):
    """The parameters of both estimators, and their `fit`."""

    def __init__(
        self,
        n_features_to_select: int | float = 0.5,
        *,
        n_replicas: int = 8,
        n_decoys: int = 0,
        validation_fraction: float = 0.15,
        random_state: int | np.random.RandomState | None = None,
        device: str | None = None,
        network: NetworkSpec | NetworkFactory | None = None,
        verbose: bool = False,
        **others: Any,
    ) -> None:
        defaults = hyperparameters()
        if unknown := [name for name in others if name not in defaults]:
            raise TypeError(f"{type(self).__name__} takes no parameter {unknown[0]!r}")
        self.n_features_to_select = n_features_to_select
        self.n_replicas = n_replicas
        self.n_decoys = n_decoys
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device = device
        self.network = network
        self.verbose = verbose
        for name, value in (defaults | others).items():
            setattr(self, name, value)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name, the hyperparameters of strategies of one's own among them.

        Parameters
        ----------
        deep : bool, default=True
            Makes no difference: no parameter is an estimator.
        """
        own = {name: getattr(self, name) for name in OWN_PARAMETERS}
        return own | {name: getattr(self, name, default) for name, default in hyperparameters().items()}

    def _fit(self, rows: Rows, validation: Rows | None) -> None:
        """Trains on checked rows and keeps what it came to."""
        rows = rows.without_weightless()
        first_seed = self._first_seed()
        weighted = rows.weight is not None or (validation is not None and validation.weight is not None)
        if validation is None:
            rows, validation = split_off(rows, self.validation_fraction, first_seed)
        names = getattr(self, "feature_names_in_", [f"x{i}" for i in range(rows.x.shape[1])])
        data = from_arrays(rows.as_part(weighted), validation.as_part(weighted), feature_names=names)
        config = self._config(len(data.feature_names))
        seeds = range(first_seed, first_seed + config.seeds)
        run = train(config, data, seeds, self.network or GATED_MLP, self.device)
        inputs = KeptInputs.of(run)
        for record in run:
            if self.verbose and (record.epoch % -(-config.epochs // LINES) == 0 or run.finished):
                print(_line(record, config))
        varies = np.isin(names, data.feature_names)
        self._keep(run, inputs, varies)
        if self.n_decoys:
            from pruning_core.selection import compete  # loads what most fits do not need

            found = compete(config, data, self.n_decoys, seeds, self.network or GATED_MLP, self.device)
            self.q_values_ = np.ones(len(varies))
            self.q_values_[varies] = found.q_values

    def _keep(self, run: Training, inputs: KeptInputs, varies: NDArray[np.bool_]) -> None:
        """The fitted attributes; columns that were constant are dropped, and count as closed before all others."""
        replica = chosen_replica(run)
        kept_RN = inputs.kept()
        self.support_ = np.zeros(len(varies), dtype=bool)
        self.support_[varies] = kept_RN[replica]
        self.support_frequency_ = np.zeros(len(varies))
        self.support_frequency_[varies] = kept_RN.mean(0)
        ranking = inputs.ranking(replica)
        self.ranking_ = np.full(len(varies), ranking.max() + 1)
        self.ranking_[varies] = ranking
        self.n_features_ = inputs.keep
        self.network_ = pruned_network(run, replica, varies)
        self.history_ = run.history
        self.outcomes_ = run.history.outcomes()
        self.n_iter_ = len(run.history)
        if "complete" not in self.outcomes_:
            warnings.warn(_not_complete(self.outcomes_, run.config), ConvergenceWarning, stacklevel=4)

    def _rows(self, X: Any, y: Any, sample_weight: Any) -> Rows:
        """Checks what `fit` got, in scikit-learn's words."""
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2, ensure_min_features=2)
        check_classification_targets(y)
        return Rows(X, y, check_weight(sample_weight, X))

    def _validation_rows(self, X_val: Any, y_val: Any, sample_weight_val: Any) -> Rows | None:
        """Checks the validation part that `fit` got, if it got one."""
        if X_val is None and y_val is None:
            return None
        if X_val is None or y_val is None:
            raise ValueError("X_val and y_val must be given together")
        X_val = validate_data(self, X_val, dtype=np.float64, reset=False)
        y_val = column_or_1d(y_val, warn=True)
        check_consistent_length(X_val, y_val)
        return Rows(X_val, y_val, check_weight(sample_weight_val, X_val))

    def _first_seed(self) -> int:
        """The first replica's seed: `random_state` itself where it is a number, so that a fit can be told in seeds."""
        random = check_random_state(self.random_state)
        return int(self.random_state) if isinstance(self.random_state, Integral) else random.randint(2**31)

    def _config(self, varying: int) -> TrialConfig:
        """The configuration of the training, given how many inputs vary."""
        named = {"keep": self._count(varying), "seeds": self.n_replicas}
        values = named | {name: getattr(self, name, default) for name, default in hyperparameters().items()}
        plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}
        try:
            return TrialConfig(**plain)
        except ValidationError as error:
            raise ValueError(_sentence(error)) from None

    def n_to_select(self, features: int) -> int:
        """n, given how many features there are.

        Raises
        ------
        ValueError
            `n_features_to_select` is neither a count nor a fraction.
        """
        wanted: Any = self.n_features_to_select
        if isinstance(wanted, int | np.integer) and not isinstance(wanted, bool):
            return int(wanted)
        if isinstance(wanted, float | np.floating) and 0 < wanted < 1:
            return max(1, int(wanted * features))
        raise ValueError(f"n_features_to_select = {wanted!r} must be a count, or a fraction between 0 and 1")

    def _count(self, varying: int) -> int:
        """n, checked against how many inputs vary."""
        count = self.n_to_select(self.n_features_in_)
        if not 1 <= count < varying:
            raise ValueError(
                f"n_features_to_select = {self.n_features_to_select!r} keeps {count} features and must keep "
                f"1 ... {varying - 1}: {varying} of {self.n_features_in_} vary in the training part"
            )
        return count


OWN_PARAMETERS = tuple(
    name
    for name, parameter in inspect.signature(PruningEstimator.__init__).parameters.items()
    if name != "self" and parameter.kind is not parameter.VAR_KEYWORD
)


def _with_hyperparameters(signature: inspect.Signature) -> inspect.Signature:
    """The signature with each hyperparameter by name: what `help` shows and scikit-learn reads."""
    *named, _ = signature.parameters.values()
    others = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
        for name, default in hyperparameters().items()
    ]
    return signature.replace(parameters=[*named, *others])


PruningEstimator.__init__.__signature__ = _with_hyperparameters(  # type: ignore[attr-defined]
    inspect.signature(PruningEstimator.__init__)
)


def check_weight(sample_weight: Any, X: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Weights as scikit-learn checks them, (n_samples,); None for none."""
    return None if sample_weight is None else _check_sample_weight(sample_weight, X, dtype=np.float64)


def _line(record: EpochRecord, config: TrialConfig) -> str:
    """An epoch in a line: means over the replicas."""
    return (
        f"epoch {record.epoch}/{config.epochs}  loss {record.classification_loss.mean():.4f}  "
        f"open gates {record.active.mean():.1f}  complete {int(record.complete.sum())}/{len(record.complete)}  "
        f"pruned accuracy {record.pruned_accuracy.mean():.3f}"
    )


def _not_complete(outcomes: list[str], config: TrialConfig) -> str:
    counts = Counter(outcomes)
    listed = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
    return (
        f"no replica completed the pruning to {config.keep} features within {config.epochs} epochs ({listed}): "
        f"{ADVICE[counts.most_common(1)[0][0]]}"
    )


def _sentence(error: ValidationError) -> str:
    """The first of pydantic's complaints, under the names that the parameters have here."""
    first = error.errors(include_url=False)[0]
    message = first["msg"].removeprefix("Value error, ").replace("Input should", "must")
    if not first["loc"]:
        return message
    name = str(first["loc"][0])
    return f"{RENAMED.get(name, name)} = {first['input']!r} {message}"
