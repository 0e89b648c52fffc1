"""A search in scikit-learn's terms: `PruningSearchCV`."""

from search.estimator.search_cv import PruningSearchCV

__all__ = ["PruningSearchCV"]
