"""What a trial is, in plain data: the order to train it, the report on it, its record, and which of two is better."""
