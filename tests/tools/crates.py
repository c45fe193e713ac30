"""What is compiled into each released program, as cargo says it."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The released programs, with the options for cargo.
PROGRAMS = {"api-key-rotation": [], "rotationctl": ["--features", "cli"]}


def output(*command: str, **options: object) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE, **options).stdout


def target_of(arch: str) -> str:
    """Returns Rust's name of a processor that has Lambda's name."""
    return f"{arch.replace('arm64', 'aarch64')}-unknown-linux-gnu"


def crates_of(program: str, arch: str, edges: str) -> set[tuple[str, str]]:
    """Returns the names and versions of the crates in a program.

    Only `cargo tree` with one package knows them: `cargo metadata` unites the features of the whole workspace.
    """
    tree = output("cargo", "tree", "--locked", "--package", "api-key-rotation", "--edges", edges, "--prefix", "none",
                  "--format", "{p}", "--target", target_of(arch), *PROGRAMS[program])
    found = {tuple(line.split()[:2]) for line in tree.splitlines()}
    return {(name, version.removeprefix("v")) for name, version in found if name != "api-key-rotation"}
