"""A component for Pulumi: the stack of api-key-rotation, from the files of a release."""

import hashlib
import pathlib
from collections.abc import Mapping

import pulumi
import pulumi_aws as aws


class ApiKeyRotation(pulumi.ComponentResource):
    """Uploads the zip and the template, and deploys them as a stack of CloudFormation.

    The template stays the one that was tested: its role, rules, alarms and dashboard. `name` becomes the function's
    name and the owner tag of every key. Unlike in CDK, parameters may be outputs, such as the id of a usage plan.
    """

    secret_arn: pulumi.Output[str]
    role_arn: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        release: pathlib.Path,
        bucket: pulumi.Input[str],
        parameters: Mapping[str, pulumi.Input[str]],
        architecture: str = "x86_64",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("api-key-rotation:index:ApiKeyRotation", name, None, opts)
        check_release(release)
        [zipped] = release.glob(f"api-key-rotation-*-{architecture}.zip")
        [template] = release.glob("api-key-rotation-*.yaml")
        below = pulumi.ResourceOptions(parent=self)
        # The key of an object names its content: another content is another key, which an update of the stack notices.
        code = aws.s3.BucketObjectv2(
            f"{name}-code",
            bucket=bucket,
            key=f"api-key-rotation/{sha256(zipped.read_bytes())}.zip",
            source=pulumi.FileAsset(str(zipped)),
            opts=below,
        )
        body = pulumi.Output.all(code.bucket, code.key).apply(
            lambda place: with_code(template.read_text(encoding="utf-8"), f"s3://{place[0]}/{place[1]}")
        )
        uploaded = aws.s3.BucketObjectv2(
            f"{name}-template",
            bucket=bucket,
            key=body.apply(lambda text: f"api-key-rotation/{sha256(text.encode())}.yaml"),
            content=body,
            opts=below,
        )
        stack = aws.cloudformation.Stack(
            name,
            name=name,
            # More than the 51,200 bytes that a template in a call may have.
            template_url=pulumi.Output.concat(
                "https://", bucket, ".s3.", aws.get_region_output().region, ".amazonaws.com/", uploaded.key
            ),
            capabilities=["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
            parameters={"Architecture": architecture, **parameters},
            opts=below,
        )
        self.secret_arn = stack.outputs.apply(lambda outputs: outputs["SecretArn"])
        self.role_arn = stack.outputs.apply(lambda outputs: outputs["RoleArn"])
        self.register_outputs({"secret_arn": self.secret_arn, "role_arn": self.role_arn})


def with_code(template: str, location: str) -> str:
    """Names the code in the template."""
    line = "      CodeUri: .\n"
    if template.count(line) != 1:
        raise ValueError("the template has not one CodeUri to replace")
    return template.replace(line, f"      CodeUri: {location}\n")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def check_release(folder: pathlib.Path) -> None:
    """Compares the files of a release with its SHA256SUMS, which must name each of them."""
    lines = (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    sums = {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}
    for file in [*folder.glob("*.zip"), *folder.glob("*.yaml")]:
        digest = sha256(file.read_bytes())
        if sums.get(file.name) != digest:
            raise ValueError(f"{file} is not the file of the release: its SHA-256 is {digest}")
