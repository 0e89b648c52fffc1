"""What a search sets in the process for MLflow's sake; imports nothing, since MLflow reads some of it on import.

Errors are raised and reach the user as one sentence; the libraries would print a traceback besides.
"""

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # A request repeated inside MLflow after a broken connection may make a second run: what fails is repeated by
    # `Tracking`, where one can look first. And a server that does not answer shall be known within seconds.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
}
QUIET_LOGGERS = ("mlflow", "alembic", "urllib3.connectionpool", "matplotlib.font_manager")
