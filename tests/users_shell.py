"""Where a user types commands: an environment without what the tests' own process has set for itself."""

import os

from search.record import settings as record_settings
from search.train import settings as train_settings


def users_environment() -> dict[str, str]:
    """The environment variables of this process without those that a search sets for itself."""
    own = train_settings.ENVIRONMENT | record_settings.ENVIRONMENT
    return {name: value for name, value in os.environ.items() if name not in own}
