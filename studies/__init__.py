"""The study files: one per question about the deck's pruning schedules, and what they found."""
