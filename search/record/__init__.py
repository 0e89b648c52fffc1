"""MLflow: what a search leaves there, and how it is read back, trained again and exported."""
