"""What is said of a refit."""

from pruning_core.metrics import ACCURACY
from search.trials.result import refit_sentence


def test_it_gives_both_parts_and_nothing_where_there_was_none() -> None:
    scores = {
        part: {"mean": mean, "std": 0.004, "per_seed": [mean]} for part, mean in (("test", 0.95), ("validation", 0.97))
    }
    pruned = {part: {"mean": 0.9, "std": 0.01, "per_seed": [0.9]} for part in scores}
    said = refit_sentence(
        {**scores, "pruned": pruned, "selected": ["a", "b"], "refit": {**scores, "epochs": 40}}, ACCURACY
    )
    assert said.endswith(
        "the 2 inputs that most seeds keep (40 epochs), "
        "it reaches 95.0 ± 0.4 % on test, 97.0 ± 0.4 % on validation; "
        "as it was pruned, 90.0 ± 1.0 % on test, 90.0 ± 1.0 % on validation (mean ± std)."
    )
    assert refit_sentence({"selected": ["a", "b"]}, ACCURACY) == ""
