"""The search system: finds the schedule under which pruning completes, on one machine or a cluster.

Knows Ray Tune, Optuna and MLflow; of `pruning_core` it calls `train` and nothing deeper.
"""
