"""What the project costs, and what it withstands, measured."""
