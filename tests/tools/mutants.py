"""Breaks the code, one place at a time, and checks that a test fails: mutants.py [WORD...]

mutants.toml lists each mutant with the invariant that it violates and the test that must fail. Only that test runs.
With words, only the mutants run that have one of them in their name, or whose invariant has that number. With --fits,
nothing runs: the script only checks that each place still exists in the source.

The script works in a copy below target/, so the files here stay as they are.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORK = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "mutants"
TREE = WORK / "tree"
# The slowest of the tests takes two minutes.
MOST_SECONDS = 900


def fail(words):
    sys.exit(f"mutants.py: {words}")


def cargo(*arguments):
    """Runs cargo in the copy. Returns whether it succeeded, and its output."""
    environment = os.environ | {"CARGO_TARGET_DIR": str(WORK / "target"), "CARGO_TERM_COLOR": "never"}
    # They would select another binary or more tests.
    environment.pop("FUNCTION", None)
    environment.pop("PROOF", None)
    try:
        done = subprocess.run(
            ["cargo", *arguments], cwd=TREE, env=environment, timeout=MOST_SECONDS, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace",
        )
    except subprocess.TimeoutExpired as expired:
        said = expired.stdout or b""
        return False, said.decode(errors="replace") + f"\nnot done after {MOST_SECONDS} seconds"
    return done.returncode == 0, done.stdout


def test(tests):
    """Builds and runs these tests. Returns whether each passed, and the output."""
    files = sorted({file for file, _ in tests})
    binaries = [word for file in files for word in ("--test", file)]
    built, said = cargo("test", "--locked", "--no-run", *binaries)
    if not built:
        fail(f"it does not compile:\n{said}")
    names = sorted({name for _, name in tests})
    _, said = cargo("test", "--locked", "--no-fail-fast", *binaries, "--", "--exact", *names)
    # A test's own output may split its line.
    began = {name for name in names if f"test {name} ..." in said}
    failed = {name for name in names if f"---- {name} stdout ----" in said}
    if missing := set(names) - began or "test result:" not in said:
        fail(f"{missing} did not finish:\n{said}")
    return {name: name not in failed for name in names}, said


def copy_tree():
    shutil.rmtree(TREE, ignore_errors=True)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, text=True, capture_output=True)
    for name in filter(None, listed.stdout.split("\0")):
        (TREE / name).parent.mkdir(parents=True, exist_ok=True)
        # With a new time, so that cargo builds it again, and with the mode of the file.
        shutil.copy(ROOT / name, TREE / name)


def pattern(old):
    """Returns a pattern for the text, however the formatter breaks it into lines."""
    tokens = re.findall(r"\w+|\S", old)
    parts = [re.escape(tokens[0])]
    for before, token in zip(tokens, tokens[1:]):
        words = before[-1:].isidentifier() and token[:1].isidentifier()
        # A list that is broken into lines ends with a comma.
        parts.append((r"\s+" if words else r",?\s*" if token in ")]}" else r"\s*") + re.escape(token))
    return re.compile("".join(parts))


def fitting(mutant, tree):
    """Returns the file to change, its text, and the text with the mutant."""
    file = tree / mutant["file"]
    text = file.read_text(encoding="utf-8")
    mutated, count = pattern(mutant["old"]).subn(lambda _: mutant["new"], text)
    if count != 1:
        fail(f"{mutant['name']!r}: the text to replace occurs {count} times in {mutant['file']}, not once")
    return file, text, mutated


def mutate(mutant):
    """Changes the file. Returns it with its original text."""
    file, text, mutated = fitting(mutant, TREE)
    file.write_text(mutated, encoding="utf-8")
    return file, text


def main():
    with open(pathlib.Path(__file__).with_suffix(".toml"), "rb") as file:
        listed = tomllib.load(file)
    invariants, mutants = listed["invariants"], listed["mutant"]
    words = sys.argv[1:]
    chosen = [
        mutant for mutant in mutants
        if not words or any(word == str(mutant["invariant"]) or word in mutant["name"] for word in words)
    ]
    for mutant in mutants:
        mutant["test"] = tuple(mutant["test"].split("::", 1))

    # Check that every mutant fits before the first one runs.
    for mutant in mutants:
        fitting(mutant, ROOT)
    if words == ["--fits"]:
        return

    copy_tree()
    print(f"{len(chosen)} mutants; first, the tests without a mutant", flush=True)
    results, said = test([mutant["test"] for mutant in chosen])
    if not all(results.values()):
        fail(f"without a mutant, these tests fail: {[name for name, passed in results.items() if not passed]}:\n{said}")

    rows, survived = [], 0
    for number, mutant in enumerate(chosen, 1):
        started = time.monotonic()
        file, text = mutate(mutant)
        results, said = test([mutant["test"]])
        file.write_text(text, encoding="utf-8")
        caught = not all(results.values())
        survived += not caught
        seconds = round(time.monotonic() - started)
        verdict = "caught" if caught else "SURVIVED"
        print(f"{number}/{len(chosen)} {verdict}, {seconds} s: {mutant['name']}", flush=True)
        invariant = f"{mutant['invariant']}. {invariants[str(mutant['invariant'])]}"
        by = "::".join(mutant["test"])
        rows.append(f"| {invariant} | {mutant['name']} | {by if caught else f'not by {by}'} | {seconds} |")

    print("\n| invariant | what was broken | caught by | seconds |\n|---|---|---|---|")
    print("\n".join(rows))
    print(f"\n{len(chosen)} mutants, {len(chosen) - survived} caught, {survived} survived")
    sys.exit(survived > 0)


main()
