"""Optuna: what is tried next, and the ledger of a search in its storage."""
