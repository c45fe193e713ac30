"""Finds words that this project does not use: words.py PATH...

CONTRIBUTING.md, "Language", says how the project writes. Each find is printed as file:line: word → instead.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

# A pattern, and what to write instead. A space in a pattern also stands for an underscore or a line break.
WORDS = [
    (r"(?<!there[\s_])(?:is|are|was|were|be|been) no (?!longer|more)[a-z]+", "is not a"),
    (r"(?:is|are|was|were) no more(?! than)", "was deleted"),
    (r"anew", "again"),
    (r"ours", "managed, of this function"),
    (r"asked for", "requested"),
    (r"told of", "reported to"),
    (r"told apart", "distinguished"),
    (r"by hand", "manually"),
    (r"a person", "an operator"),
    (r"whoever", "an operator, a caller"),
    (r"somebody", "an operator, a caller"),
    (r"nobody", "no operator, no consumer"),
    (r"mend(?:s|ed|ing)?", "fix"),
    (r"(?:set|put) right", "correct"),
    (r"(?:bring|brings|brought) back", "restore"),
    (r"but for", "except"),
    (r"all the same", "anyway"),
    (r"likewise", "also"),
    (r"meanwhile", "concurrently, in the meantime"),
    (r"whichever", "any"),
    (r"cannot be had", "could not be read"),
    (r"(?:come|comes|came) of", "a concrete verb"),
    (r"(?:come|comes|came) about", "a concrete verb"),
    (r"(?:go|goes|went) on", "continue"),
    (r"mint(?:s|ed|ing)?", "create"),
    (r"trial runs?", "test rotation"),
    (r"for ever", "indefinitely"),
    (r"by (?:itself|themselves)", "automatically, alone"),
    (r"time-outs?", "timeout"),
    (r"stand-ins?", "sandbox"),
]

# A path, a text on the line, and why the word stays there.
ALLOWED = [
    ("", "Minted for", "the descriptions of keys that version 0.1.0 created begin with these words"),
    ("docs/deploy.md", "| report, each key | `ours`", "a name of version 0.1.0, in the list of renamed fields"),
]

SUFFIXES = {".rs", ".py", ".sh", ".toml", ".md", ".yaml", ".yml", ".json", ""}
# The list itself, and what other tools write.
SKIPPED = {"words.py", "Cargo.lock", "target", "__pycache__", ".git"}


def compiled(pattern: str) -> re.Pattern[str]:
    # Between two words there may be a line break with the comment's beginning, or an underscore.
    gap = r"(?:_|[\s/#*!]+)"
    return re.compile(rf"(?<![A-Za-z]){pattern.replace(' ', gap)}(?![A-Za-z])", re.IGNORECASE)


def files(path: Path) -> Iterator[Path]:
    if path.name in SKIPPED:
        return
    if path.is_dir():
        for entry in sorted(path.iterdir()):
            yield from files(entry)
    elif path.suffix in SUFFIXES:
        yield path


def is_allowed(path: Path, line: str) -> bool:
    return any(str(path).startswith(where) and text in line for where, text, _ in ALLOWED)


def finds(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yields each find in a file: its line, the word, and what to write instead."""
    text = path.read_text()
    lines = text.splitlines()
    for pattern, instead in PATTERNS:
        for found in pattern.finditer(text):
            number = text.count("\n", 0, found.start()) + 1
            if not is_allowed(path, lines[number - 1]):
                yield number, " ".join(found.group().split()), instead


PATTERNS = [(compiled(pattern), instead) for pattern, instead in WORDS]


def main() -> int:
    paths = [Path(argument) for argument in sys.argv[1:]]
    missing = [str(path) for path in paths if not path.exists()]
    if missing or not paths:
        print("no such path:", *missing, file=sys.stderr)
        return 2
    count = searched = 0
    for path in (file for path in paths for file in files(path)):
        searched += 1
        for number, word, instead in sorted(finds(path)):
            count += 1
            print(f"{path}:{number}: {word} → {instead}")
    print(f"words: {count} finds in {searched} files")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
