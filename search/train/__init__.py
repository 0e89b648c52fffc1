"""Ray: where trials train, and that they do: cluster, workers, engines, early end, confirmation."""
