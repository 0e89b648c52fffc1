"""Pruning in scikit-learn's terms: `PruningClassifier` and `PruningSelector`, for pipelines and cross-validation."""

from pruning_core.estimators.classifier import PruningClassifier
from pruning_core.estimators.selector import PruningSelector

__all__ = ["PruningClassifier", "PruningSelector"]
