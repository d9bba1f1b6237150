"""Let a command line option take several words, as in `--like a b --unlike c`."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

OPTIONS = frozenset({"--like", "--unlike"})
"""Options that take all words up to the next option."""


class SeveralWords(TyperCommand):
    """Read `--like a b` as `--like a --like b`, because click gives an option only one word."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Turn `--x a b` into `--x a --x b` for click, which takes one value per option."""
        return super().parse_args(ctx, repeated(args))


def repeated(words: list[str]) -> list[str]:
    """Repeat --like and --unlike before each of their words in a command line; return all words.

    Examples
    --------
    >>> repeated(["table", "--like", "a", "b", "-k", "3"])
    ['table', '--like', 'a', '--like', 'b', '-k', '3']
    """
    result: list[str] = []
    option, fresh = "", False
    for position, word in enumerate(words):
        if word == "--":
            return result + words[position:]
        if word.startswith("-") and len(word) > 1:
            option, fresh = (word, True) if word in OPTIONS else ("", False)
            result.append(word)
            continue
        # the first word already follows its option; repeat the option before each further word
        result += [word] if fresh or not option else [option, word]
        fresh = False
    return result
