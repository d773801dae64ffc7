"""What a page is made of, for tests that look at its rules rather than its words."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "input", "br", "hr", "rect", "path", "circle", "ellipse", "line"}
FIELDS = {"input", "select", "textarea", "progress"}


@dataclass
class Element:
    """One element: name, attributes, text inside, and the names of those around it."""

    name: str
    attributes: dict[str, str]
    around: tuple[str, ...]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """All elements of a page, in their order."""

    elements: list[Element] = field(default_factory=list)
    open: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        around = tuple(one.name for one in self.open)
        element = Element(tag, {name: value or "" for name, value in attrs}, around)
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> ends nothing"
        assert self.open[-1].name == tag, f"</{tag}> ends <{self.open[-1].name}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for one in self.open:
            one.text += data

    def named(self, *names: str) -> list[Element]:
        return [one for one in self.elements if one.name in names]


def read(text: str) -> Page:
    """Read a page; its elements must nest."""
    page = Page()
    page.feed(text)
    page.close()
    assert not page.open, f"never ended: {[one.name for one in page.open]}"
    return page


def faults(text: str) -> list[str]:
    """What breaks the pages' rules: policy, labels, names, headings."""
    page = read(text)
    return [*_inline(page), *_foreign(page), *_unlabelled(page), *_structure(page)]


def _inline(page: Page) -> list[str]:
    found = []
    for one in page.elements:
        if one.name == "style" or (one.name == "script" and "src" not in one.attributes):
            found.append(f"inline <{one.name}>")
        if one.name == "script" and one.text.strip():
            found.append("text in <script>")
        bad = [key for key in one.attributes if key == "style" or key.startswith("on")]
        found += [f"{key}= on <{one.name}>" for key in bad]
        found += [
            f"{key}={value} on <{one.name}>"
            for key, value in one.attributes.items()
            if key in ("href", "src", "action") and value.strip().lower().startswith("javascript")
        ]
    return found


def _foreign(page: Page) -> list[str]:
    loads = [(one, one.attributes.get("src", "")) for one in page.elements]
    loads += [(one, one.attributes.get("href", "")) for one in page.named("link")]
    return [
        f"<{one.name}> loads {address}"
        for one, address in loads
        if address and not (address.startswith("/") and not address.startswith("//"))
    ]


def _unlabelled(page: Page) -> list[str]:
    labelled = {one.attributes.get("for", "") for one in page.named("label")}
    found = [
        f"no label: <{one.name} {one.attributes}>"
        for one in page.named(*FIELDS)
        if one.attributes.get("id", "-") not in labelled
        and "label" not in one.around
        and not one.attributes.get("aria-label")
    ]
    found += [
        f"no name: <{one.name} {one.attributes}>"
        for one in page.named("button", "a")
        if not (one.text.strip() or one.attributes.get("aria-label"))
        and not any(inner.around[-1:] == (one.name,) for inner in page.named("img"))
    ]
    found += [
        f"no alt: {one.attributes}" for one in page.named("img") if "alt" not in one.attributes
    ]
    return found


def _structure(page: Page) -> list[str]:
    ids = [one.attributes["id"] for one in page.elements if "id" in one.attributes]
    found = [f"id {one} twice" for one in sorted({one for one in ids if ids.count(one) > 1})]
    for name in ("h1", "main", "title"):
        if len(page.named(name)) != 1:
            found.append(f"{len(page.named(name))} <{name}>")
    wanted = {
        word
        for one in page.elements
        for key in ("for", "aria-describedby", "aria-labelledby")
        for word in one.attributes.get(key, "").split()
    }
    return found + [f"nothing has the id {one}" for one in sorted(wanted - set(ids))]
