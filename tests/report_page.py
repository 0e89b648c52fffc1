"""A report taken apart, for the tests of what stands on its page."""

from html.parser import HTMLParser
from pathlib import Path

TITLES = [
    "The strategies",
    "How the trials ended",
    "Accuracy against speed",
    "Which hyperparameters matter for accuracy",
    "What separates completed trials from the others",
    "How gates close",
    "The result on the test part",
    "Which inputs are kept",
    "What the kept inputs look like",
    "Where the pruned network errs",
    "How to repeat this",
]
VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """A page taken apart: its text, its headings, its images; tags that do not match are an error."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.tags: set[str] = set()
        self.words: list[str] = []
        self.html = path.read_text(encoding="utf-8")
        self.feed(self.html)
        self.close()
        assert self.open == []

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)
