"""What of an Optuna trial must be the same in the ledger's memory and in its storage."""

from optuna.trial import FrozenTrial


def essence(trial: FrozenTrial) -> dict[str, object]:
    return {
        name: getattr(trial, name)
        for name in ("number", "state", "values", "params", "distributions", "intermediate_values", "user_attrs")
    } | {"constraints": trial.constraints}
