"""`PruningSelector`: the columns that it selects, in a pipeline and by name."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy.sparse import csr_array
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from pruning_core import PruningSelector

Wine = tuple[pd.DataFrame, pd.Series]


@pytest.fixture(scope="module")
def wine() -> Wine:
    x, y = load_wine(return_X_y=True, as_frame=True)
    return x, y


@pytest.fixture(scope="module")
def selector(wine: Wine) -> PruningSelector:
    return PruningSelector(0.4, n_replicas=3, growth=1.5, epochs=60, random_state=0).fit(*wine)


def test_a_fraction_of_the_columns_is_selected_by_name(selector: PruningSelector, wine: Wine) -> None:
    x, _ = wine
    selected = selector.get_feature_names_out()
    assert len(selected) == 5 == selector.get_support().sum()
    assert [*selected] == [*x.columns[selector.support_]]
    np.testing.assert_array_equal(selector.transform(x), x[selected].to_numpy())
    back = selector.inverse_transform(selector.transform(x))
    np.testing.assert_array_equal(back[:, selector.support_], x[selected].to_numpy())
    assert not back[:, ~selector.support_].any()
    assert sorted(selector.ranking_) == [1] * 5 + [*range(2, 10)]


def test_a_frame_goes_in_and_a_frame_comes_out(selector: PruningSelector, wine: Wine) -> None:
    with sklearn.config_context(transform_output="pandas"):
        out = selector.transform(wine[0])
    assert isinstance(out, pd.DataFrame)
    pd.testing.assert_frame_equal(out, wine[0][out.columns])


def test_sparse_input_is_refused_in_the_words_of_scikit_learn(wine: Wine) -> None:
    with pytest.raises(TypeError, match="Sparse data was passed"):
        PruningSelector().fit(csr_array(wine[0].to_numpy()), wine[1])


def test_in_a_pipeline_that_is_cross_validated(wine: Wine) -> None:
    selector = PruningSelector(4, n_replicas=2, growth=1.5, epochs=60, random_state=0).set_output(transform="pandas")
    pipeline = Pipeline([("select", selector), ("scale", StandardScaler()), ("classify", LogisticRegression())])
    assert cross_validate(pipeline, *wine, cv=3)["test_score"].mean() > 0.85
    assert pipeline.fit(*wine)["classify"].n_features_in_ == 4
