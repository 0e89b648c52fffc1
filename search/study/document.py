"""The YAML of study files, without what YAML 1.1 makes of names: `no`, `010`, `12:30:45` and `1.10` stay as typed.

Text that is a number is still taken as one where a number is wanted. A key that stands twice is refused.
"""

import re
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, ScalarNode

from search.study.errors import StudyError

TAG = "tag:yaml.org,2002:"
DIGITS = "-.0123456789"
PLAIN = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"0|-?[1-9][0-9]*", list(DIGITS)),
    "float": (
        r"-?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        ["+", *DIGITS],
    ),
    "merge": (r"<<", ["<"]),
}
"""What is not text without quotes, and the letters that it may begin with."""


class WrittenFloat(float):
    """A number that shows itself as it was written, since it may be the name of a column: `1.10`."""

    text: str

    def __str__(self) -> str:
        return self.text


class _Loader(yaml.SafeLoader):
    """Reads plain data only."""

    yaml_implicit_resolvers = {}  # noqa: RUF012

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, ScalarNode) or key.tag == f"{TAG}merge":
                continue
            if key.value in lines:
                problem = f"the key {key.value!r} stands twice, first in line {lines[key.value]}"
                raise ConstructorError(None, None, problem, key.start_mark)
            lines[key.value] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)

    def construct_yaml_float(self, node: ScalarNode) -> float:
        number = float(super().construct_yaml_float(node))
        if str(number) == node.value:
            return number
        written = WrittenFloat(number)
        written.text = node.value
        return written


for kind, (pattern, first_letters) in PLAIN.items():
    _Loader.add_implicit_resolver(TAG + kind, re.compile(f"^(?:{pattern})$"), first_letters)
_Loader.add_constructor(f"{TAG}float", _Loader.construct_yaml_float)


def parse_yaml(text: str, where: str) -> Any:
    """What a text in YAML holds.

    Raises:
        StudyError: it is no valid YAML; the sentence begins with `where` and names the line.
    """
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise StudyError(f"{where}{line} is not valid YAML: {problem}") from None
