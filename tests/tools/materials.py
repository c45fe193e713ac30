"""Adds bills of materials and licences to what `make package` wrote: materials.py FOLDER

cargo-cyclonedx makes the bills. It knows the features of the whole workspace only together, so this removes the crates
that are in no program, and fails if one is missing. The same commit always gives the same files.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from crates import PROGRAMS, ROOT, crates_of, output, target_of

ARCHITECTURES = ["x86_64", "arm64"]


def copy_source(to: Path) -> None:
    """Copies the source, because cargo-cyclonedx writes beside each Cargo.toml."""
    files = output("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    present = "\0".join(name for name in files.split("\0") if name and (ROOT / name).exists())
    archive = subprocess.run(["tar", "--create", "--null", "--files-from", "-"], cwd=ROOT, check=True,
                             input=present.encode(), stdout=subprocess.PIPE).stdout
    subprocess.run(["tar", "--extract", "--directory", to], check=True, input=archive)


def bill_of(program: str, arch: str, source: Path) -> dict:
    """Returns the bill of a program, with exactly the crates that are compiled into it or run in its build."""
    # Instead of the time and a random number.
    environment = os.environ | {"SOURCE_DATE_EPOCH": output("git", "log", "-1", "--format=%ct").strip()}
    subprocess.run(["cargo", "cyclonedx", "--quiet", "--format", "json", "--spec-version", "1.5", "--describe", "binaries",
                    "--no-build-deps", "--target", target_of(arch), *PROGRAMS[program]],
                   cwd=source, env=environment, check=True)
    text = (source / f"{program}_bin.cdx.json").read_text()
    bill = json.loads(text.replace(f"path+file://{source}", "path+file:///"))
    crates = crates_of(program, arch, "normal")
    if missing := crates - {(part["name"], part["version"]) for part in bill["components"]}:
        sys.exit(f"materials.py: the bill of {program} lacks {sorted(missing)}")
    bill["components"] = [part for part in bill["components"] if (part["name"], part["version"]) in crates]
    known = {part["bom-ref"] for part in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    bill["dependencies"] = [
        {name: [ref for ref in value if ref in known] if name == "dependsOn" else value for name, value in entry.items()}
        for entry in bill["dependencies"] if entry["ref"] in known
    ]
    # The crate's name is the function's, also for the other program.
    bill["metadata"]["component"]["name"] = program
    return bill


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    sums = folder / "SHA256SUMS"
    lines = sums.read_text().splitlines()
    version = output("cargo", "pkgid").strip().rpartition("#")[2].rpartition("@")[2]
    written = []
    with tempfile.TemporaryDirectory() as temporary:
        copy_source(Path(temporary))
        for arch in ARCHITECTURES:
            if not (folder / f"api-key-rotation-{version}-{arch}.zip").exists():
                continue
            for program in PROGRAMS:
                path = folder / f"{program}-{version}-{arch}.cdx.json"
                path.write_text(json.dumps(bill_of(program, arch, Path(temporary)), indent=2, sort_keys=True) + "\n")
                written.append(path)
            path = folder / f"licenses-{version}-{arch}.txt"
            subprocess.run([sys.executable, ROOT / "tests/tools/licenses.py", arch, path], check=True)
            written.append(path)
    if not written:
        sys.exit(f"materials.py: {folder} has no zip of version {version}; run `make package` first")
    names = {path.name for path in written}
    lines = [line for line in lines if line.split()[1] not in names]
    lines += [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in written]
    sums.write_text("\n".join(lines) + "\n")
    print("\n".join(f"{path.name}: {path.stat().st_size} bytes" for path in written))


main()
