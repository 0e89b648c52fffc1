"""Which of several replicas predicts."""

import numpy as np
from sklearn.metrics import log_loss

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset
from pruning_core.estimators.pruned import chosen_replica
from pruning_core.training import train


def test_of_equally_accurate_replicas_the_one_with_the_lowest_cross_entropy_predicts(data: Dataset) -> None:
    run = train(TrialConfig(keep=3, hidden=(8,)), data, range(6), device="cpu")
    list(run)
    logits_RBC = run.replicas.answers(data.validation, pruned=True, with_logits=True).logits_RBC
    assert logits_RBC is not None
    losses = [log_loss(data.validation.y, logits_BC.double().softmax(-1).numpy()) for logits_BC in logits_RBC]
    accuracy_R = run.history.records[-1].pruned_accuracy
    equals = np.flatnonzero(accuracy_R == accuracy_R.max())
    assert len(equals) > 1
    assert chosen_replica(run) == min(equals, key=lambda r: losses[r])
