"""Publishes a version to the AWS Serverless Application Repository: publish.py PACKAGE ARCH

PACKAGE is the folder that `make package` wrote. Without PUBLISH=yes, the script lists what it would upload and calls
nothing. With PUBLISH=yes, the SAM CLI uploads to the bucket BUCKET, whose policy must let the repository read it, and
creates the version, which only your account sees until you share it. REPOSITORY is the address of the source.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
# https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-sam-template-publishing-applications-metadata-properties.html
FORMS = {
    "Name": r"[a-zA-Z0-9-]{1,140}",
    "Description": r"(?s:.){1,256}",
    "Author": r"(?=.{1,127}$)[a-z0-9](([a-z0-9]|-(?!-))*[a-z0-9])?",
    "SpdxLicenseId": r"\S+",
    "SemanticVersion": r"\d+\.\d+\.\d+",
}
MOST_LABELS = 10
LABEL = r"[a-zA-Z0-9+_:/@-]{1,127}"
# The template's types in AWS's list of supported resources, as of the guide's last public source, of 2023.
SUPPORTED = {
    "AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard", "AWS::Events::Rule", "AWS::IAM::Role",
    "AWS::Lambda::Permission", "AWS::Logs::LogGroup", "AWS::Serverless::Function",
}
# What a deployer must acknowledge, by the type that demands it.
CAPABILITIES = {"AWS::IAM::Role": "CAPABILITY_NAMED_IAM", "AWS::Lambda::Permission": "CAPABILITY_RESOURCE_POLICY"}
LARGEST_TEXT = 5 * 1024 * 1024


def fail(words: str) -> None:
    sys.exit(f"publish.py: {words}")


class Loader(yaml.SafeLoader):
    """Reads a template. Functions such as !Ref become their arguments, because only types and metadata matter here."""


def function(loader: Loader, _suffix: str, node: yaml.Node) -> object:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True)


Loader.add_multi_constructor("!", function)


def replace_once(text: str, old: str, new: str) -> str:
    if text.count(old) != 1:
        fail(f"the template has {old.strip()!r} {text.count(old)} times instead of once")
    return text.replace(old, new)


def template_for(packaged: Path, archive: str, arch: str, repository: str) -> str:
    """Returns the template with the archive as code, for its processor only, and with what only a publication has."""
    text = replace_once(packaged.read_text(), "      CodeUri: .\n", f"      CodeUri: {archive}\n")
    text = replace_once(text, "    Default: x86_64\n    AllowedValues: [x86_64, arm64]\n",
                        f"    Default: {arch}\n    AllowedValues: [{arch}]\n")
    added = ["LicenseUrl: LICENSE", "ReadmeUrl: README.md"]
    if repository:
        added += [f"HomePageUrl: {repository}", f"SourceCodeUrl: {repository}"]
    name = "    Name: api-key-rotation\n"
    # The repository has one code for each application.
    named = name if arch == "x86_64" else f"    Name: api-key-rotation-{arch}\n"
    return replace_once(text, name, named + "".join(f"    {line}\n" for line in added))


def check(template: dict) -> dict:
    """Returns the application's metadata, or fails if the repository would refuse it."""
    application = template["Metadata"]["AWS::ServerlessRepo::Application"]
    for field, form in FORMS.items():
        if not re.fullmatch(form, str(application.get(field, ""))):
            fail(f"{field} of the application is {application.get(field)!r}, which the repository refuses")
    labels = application.get("Labels", [])
    if len(labels) > MOST_LABELS or not all(re.fullmatch(LABEL, label) for label in labels):
        fail(f"the repository refuses these labels: {labels}")
    return application


def main() -> None:
    folder, arch = Path(sys.argv[1]), sys.argv[2]
    packaged = sorted(folder.glob("api-key-rotation-*.yaml"))
    if len(packaged) != 1:
        fail(f"{folder} has not one template; run `make package ARCH={arch}` first")
    archive = folder / f"{packaged[0].stem}-{arch}.zip"
    if not archive.exists():
        fail(f"{archive} is missing; run `make package ARCH={arch}` first")
    sums = dict(reversed(line.split()) for line in (folder / "SHA256SUMS").read_text().splitlines())
    files = {archive.name: archive, "LICENSE": ROOT / "LICENSE", "README.md": ROOT / "README.md"}
    for name, path in {archive.name: archive, packaged[0].name: packaged[0]}.items():
        if hashlib.sha256(path.read_bytes()).hexdigest() != sums.get(name):
            fail(f"{path} is not the file of SHA256SUMS; run `make package ARCH={arch}` again")

    text = template_for(packaged[0], archive.name, arch, os.environ.get("REPOSITORY", ""))
    template = yaml.load(text, Loader)
    application = check(template)
    if any(files[name].stat().st_size > LARGEST_TEXT for name in ("LICENSE", "README.md")):
        fail("LICENSE or README.md is larger than the repository accepts, which is 5 MB")
    types = {resource["Type"] for resource in template["Resources"].values()}
    print(f"Application {application['Name']}, version {application['SemanticVersion']}, {application['SpdxLicenseId']}")
    for name, path in files.items():
        print(f"  {name}: {path.stat().st_size} bytes, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")
    print(f"  template.yaml: {packaged[0].name} with {archive.name}, only for {arch}, {len(types)} types of resources")
    print(f"A deployer must acknowledge: {', '.join(sorted(CAPABILITIES[kind] for kind in types & CAPABILITIES.keys()))}")
    if unknown := sorted(types - SUPPORTED):
        print("The repository may refuse these types, which are not in the list that was last published with its source:")
        print(f"  {', '.join(unknown)}")

    if os.environ.get("PUBLISH") != "yes":
        print("Nothing was uploaded. To publish: make publish PUBLISH=yes BUCKET=<bucket> REPOSITORY=<address of the source>")
        return
    bucket = os.environ.get("BUCKET") or fail("BUCKET is empty; name a bucket that the repository may read")
    with tempfile.TemporaryDirectory() as work:
        for name, path in files.items():
            shutil.copy(path, Path(work, name))
        Path(work, "template.yaml").write_text(text)
        for command in (
            ["sam", "package", "--template-file", "template.yaml", "--s3-bucket", bucket, "--output-template-file", "packaged.yaml"],
            ["sam", "publish", "--template", "packaged.yaml"],
        ):
            print("Running", *command, flush=True)
            if subprocess.run(command, cwd=work, check=False).returncode:
                fail(f"`{' '.join(command[:2])}` failed; its error is above, and a version that exists cannot be published again")


main()
