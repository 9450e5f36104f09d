"""`lstmcast help`: what an error's code means; a command's help."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forecast.cli.parameters import Run, takes
from forecast.common.errors import UsageError
from forecast.common.yaml_file import read_yaml

if TYPE_CHECKING:
    from rich.console import Console

Topic = Annotated[
    str | None,
    typer.Argument(
        metavar="[TOPIC]",
        show_default=False,
        help="A command (train), the code of an error or a warning (input/duplicate-time), or "
        "a word of the glossary (MASE); codes or words lists them.",
    ),
]

CODES = Path(__file__).parent.parent / "error_codes.yaml"
ALL_CODES, WORDS = "codes", "words"


@takes()
def help(topic: Topic = None, *, run: Run) -> int:
    """Explain an error code or a word, or show the help of a command."""
    from forecast.cli import render
    from forecast.cli.app import COMMANDS
    from forecast.cli.app import run as show_help

    if topic is None or topic in COMMANDS:
        return show_help([*([topic] if topic else []), "--help"])
    if topic == WORDS or topic.casefold() in words():
        return show_words(topic, run)
    known = explanations()
    found = known if topic == ALL_CODES else {topic: explanation(topic, known)}
    if run.screen.json:
        render.show_document("help", {"codes": found})
    elif topic == ALL_CODES:
        show_codes(run.out(), found)
    else:
        render.show_facts(run.out(), [("code", topic), ("meaning", found[topic])])
    return 0


def words() -> dict[str, tuple[str, str]]:
    """The glossary: each word in small letters, as it is written, and its meaning."""
    from forecast.reporting.glossary import sections

    return {word.casefold(): (word, text) for _, part in sections() for word, text in part.items()}


def show_words(topic: str, run: Run) -> int:
    """One word of the glossary with its meaning, or all of them."""
    from forecast.cli import render

    found = dict(words().values()) if topic == WORDS else dict([words()[topic.casefold()]])
    if run.screen.json:
        render.show_document("help", {"words": found})
    elif topic == WORDS:
        show_codes(run.out(), found, "word")
    else:
        render.show_facts(run.out(), list(found.items()))
    return 0


def explanations() -> dict[str, str]:
    """Every code and what it means; "system/*" stands for all codes of that beginning."""
    found = read_yaml(CODES, "the list of codes", "Install lstmcast again").content
    return {code: " ".join(text.split()) for code, text in found.items()}


def explanation(code: str, known: dict[str, str]) -> str:
    """What `code` means. Raises UsageError for one that there is not."""
    kind, _, name = code.partition("/")
    if code in known:
        return known[code]
    if name and f"{kind}/*" in known:
        return known[f"{kind}/*"]
    from forecast.cli.app import COMMANDS

    endings = {each.partition("/")[2]: each for each in reversed(known)}
    glossary = words()
    near = get_close_matches(code, [*known, *COMMANDS, *endings, *glossary], n=1)
    named = {**endings, **{small: word for small, (word, _) in glossary.items()}}
    hint = f"Did you mean {named.get(near[0], near[0])}? " if near else ""
    raise UsageError(
        "there is no help on that",
        code="usage/no-such-topic",
        value=code,
        remedy=f"{hint}`lstmcast help codes` lists the codes of errors, `lstmcast help` the "
        "commands",
    )


def show_codes(console: Console, known: dict[str, str], head: str = "code") -> None:
    """All codes or words, each with what it means."""
    from rich.text import Text

    from forecast.cli.render import plain_table

    table = plain_table(head, "meaning")
    table.columns[0].no_wrap = True
    for code, text in known.items():
        table.add_row(Text(code), Text(text, "dim"))
    console.print(table)
