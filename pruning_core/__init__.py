"""Trainable gates that prune a network: the pruner layer, its losses and strategies, and the core training function.

Knows torch; knows nothing of Ray, Optuna, MLflow, YAML or the terminal.
"""
