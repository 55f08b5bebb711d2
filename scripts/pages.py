"""What a page of the documents tells a reader to type, section by section, as commands to run."""

import re
from dataclasses import dataclass, field
from pathlib import Path

LEFT_OUT = ("pip install", "make test-")
"""How lines begin that install, or run the tests that run this."""


@dataclass
class Section:
    """A heading, what stands in the fenced blocks below it (the kind, the text), and the section that it is in."""

    level: int
    title: str
    above: "Section | None"
    blocks: list[tuple[str, str]] = field(default_factory=list)

    def commands(self) -> list[list[str]]:
        """Return its commands and Python blocks, as words to run. Blocks of other kinds show what comes out."""
        found = []
        for kind, text in self.blocks:
            if kind == "python":
                found.append(["python", "-c", text])
            elif not kind:
                found += [["sh", "-c", line] for line in text.splitlines() if not line.startswith(LEFT_OUT)]
        return found

    def installs(self, extra: str) -> bool:
        """Return whether it tells to install an extra, and no other."""
        return any(f"pip install 'aritmo[{extra}]'\n" in text for _, text in self.blocks)


def sections(page: Path) -> list[Section]:
    """Return the sections of a page, in its order."""
    found: list[Section] = []
    fence = re.compile(r"^```(\w*)\n(.*?)^```$|^(#+) ([^\n]*)$", re.MULTILINE | re.DOTALL)
    for kind, text, marks, title in fence.findall(page.read_text("utf-8")):
        if marks:
            above = found[-1] if found else None
            while above and above.level >= len(marks):
                above = above.above
            found.append(Section(len(marks), title, above))
        else:
            found[-1].blocks.append((kind, text))
    return found


def commands_down_to(section: Section) -> list[list[str]]:
    """Return the commands of the sections that a section is in, from the top of the page, and its own."""
    return (commands_down_to(section.above) if section.above else []) + section.commands()
