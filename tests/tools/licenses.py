"""Writes the licences of everything that is compiled into the released programs: licenses.py ARCH FILE

The texts are those that each crate's package contains, and those of Rust's standard library, which the toolchain
contains. So this needs no network, and the same source and toolchain always give the same file.
"""

import html
import json
import re
import sys
from pathlib import Path

from crates import PROGRAMS, ROOT, crates_of, output, target_of

NAMES = re.compile(r"(licen[cs]e|unlicense|copying|copyright|notice)([-._].*)?", re.IGNORECASE)
# The texts of licences that a package names without containing them. Any other such package is an error.
MIT = """Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""
RULE = "=" * 100 + "\n"


def texts_of(package: dict) -> list[str]:
    """Returns the texts of a package's licence, or fails if they are not known."""
    folder = Path(package["manifest_path"]).parent
    files = sorted(path for path in folder.iterdir() if path.is_file() and NAMES.fullmatch(path.name))
    if files:
        return [path.read_text(errors="replace").strip() + "\n" for path in files]
    choices = re.split(r" OR |/", package["license"] or "")
    if "Apache-2.0" in choices:
        return [(ROOT / "LICENSE").read_text().strip() + "\n"]
    if "MIT" in choices:
        authors = ", ".join(package["authors"]) or f"the authors of {package['name']} ({package['repository']})"
        return [f"Copyright (c) {authors}\n\n{MIT}"]
    sys.exit(f"licenses.py: {package['name']} contains no licence file, and its licence is {package['license']}; "
             "add the text to this script")


def standard_library() -> str:
    """Returns the licences of Rust's standard library, which the toolchain describes as a page."""
    page = Path(output("rustc", "--print", "sysroot").strip(), "share/doc/rust/COPYRIGHT-library.html")
    if not page.exists():
        sys.exit(f"licenses.py: {page} is missing; install the toolchain with rustup")
    text = re.sub(r"<(style|head)\b.*?</\1>", "", page.read_text(), flags=re.DOTALL)
    text = html.unescape(re.sub(r"<[^>]+>", "", text))
    return re.sub(r"\n\s*\n(\s*\n)+", "\n\n", text).strip() + "\n"


def main() -> None:
    arch, path = sys.argv[1:]
    metadata = json.loads(output("cargo", "metadata", "--locked", "--format-version", "1", "--all-features",
                                 "--filter-platform", target_of(arch)))
    packages = {(package["name"], package["version"]): package for package in metadata["packages"]}
    users: dict[tuple[str, str], list[str]] = {}
    for program in PROGRAMS:
        # Procedural macros only run while the programs are built.
        for crate in crates_of(program, arch, "normal,no-proc-macro"):
            users.setdefault(crate, []).append(program)
    # Texts that differ only in white space are one.
    texts: dict[str, str] = {}
    holders: dict[str, list[str]] = {}
    lines = []
    for name, version in sorted(users):
        package = packages[name, version]
        lines.append(f"{name} {version}: {package['license']} ({', '.join(users[name, version])})\n")
        for text in texts_of(package):
            words = " ".join(text.split())
            texts.setdefault(words, text)
            holders.setdefault(words, []).append(f"{name} {version}")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"Licences of {' and '.join(PROGRAMS)} for {arch}, and of everything that is compiled into them.\n\n")
        file.write("Both programs: Apache-2.0, the first text. The crates, their licences, and the programs they are in:\n\n")
        file.writelines(lines)
        file.write(f"Rust's standard library: the last text ({', '.join(PROGRAMS)})\n")
        file.write(f"\n{RULE}{', '.join(PROGRAMS)}\n{RULE}\n{(ROOT / 'LICENSE').read_text().strip()}\n")
        for words, crates in sorted(holders.items(), key=lambda item: item[1]):
            file.write(f"\n{RULE}{', '.join(crates)}\n{RULE}\n{texts[words]}")
        file.write(f"\n{RULE}Rust's standard library\n{RULE}\n{standard_library()}")


main()
