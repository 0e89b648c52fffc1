"""A study that cannot be run, said in one sentence."""

import re

from pydantic import ValidationError


class StudyError(ValueError):
    """A study that cannot be run; the message is one sentence for the user."""


def sentence(error: ValidationError, key: str = "") -> str:
    """The first of pydantic's complaints as one sentence; ``key`` is where the validated value stands."""
    first = error.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    key = ".".join(filter(None, [key, *map(str, first["loc"])]))
    if isinstance(cause, StudyError) or not key:
        return str(cause or first["msg"])
    if first["type"] == "missing":
        return f"{key} is missing"
    allowed = re.sub(r"^\w+ should ", "must ", first["msg"].removeprefix("Value error, "))
    return f"{key} = {show(first['input'])} {allowed.replace('valid tuple', 'list')}"


def show(value: object) -> str:
    """The value, shortened if need be, for a message."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
