"""A construct for AWS CDK: the template of api-key-rotation, with its code as an asset."""

import hashlib
import pathlib
import re
from collections.abc import Mapping

import yaml
from aws_cdk import Token
from aws_cdk import aws_s3_assets as assets
from aws_cdk import aws_sam as sam
from aws_cdk import cloudformation_include as include
from constructs import Construct


class ApiKeyRotation(Construct):
    """Includes the template in the stack, whose name becomes the function's name.

    The stack must have nothing else that is named like a resource of the template. `parameters` are literals: the
    template decides by them what it creates, and CloudFormation knows no attribute of a resource at that time. So give
    the id of a usage plan, and no reference to a plan of the same app.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, template: pathlib.Path, code: pathlib.Path, parameters: Mapping[str, str]
    ) -> None:
        super().__init__(scope, construct_id)
        check_parameters(template, parameters)
        self.template = include.CfnInclude(self, "Template", template_file=str(template), parameters=dict(parameters))
        asset = assets.Asset(self, "Code", path=str(code))
        function = self.template.get_resource("RotationFunction")
        assert isinstance(function, sam.CfnFunction)
        function.code_uri = sam.CfnFunction.S3LocationProperty(bucket=asset.s3_bucket_name, key=asset.s3_object_key)

    @property
    def secret_arn(self) -> str:
        """The ARN of the secret with the current key. Pass it on, and never the value."""
        return Token.as_string(self.template.get_output("SecretArn").value)


class _Template(yaml.SafeLoader):
    """Reads a template without resolving `!Ref` and the like."""


_Template.add_multi_constructor("!", lambda loader, suffix, node: None)


def check_parameters(template: pathlib.Path, parameters: Mapping[str, str]) -> None:
    """Refuses values that the template's parameters do not accept.

    CDK replaces the parameters by their values, so that CloudFormation no longer checks them.
    """
    declared = yaml.load(template.read_text(encoding="utf-8"), _Template)["Parameters"]
    for name, value in parameters.items():
        if name not in declared:
            raise ValueError(f"the template has no parameter {name}")
        allowed = [str(one) for one in declared[name].get("AllowedValues", [])]
        if allowed and value not in allowed:
            raise ValueError(f"{name} is not one of {', '.join(allowed)}")
        if not re.search(declared[name].get("AllowedPattern", ""), value):
            raise ValueError(f"{name} is not {declared[name]['ConstraintDescription']}")


def check_release(folder: pathlib.Path) -> None:
    """Compares the files of a release with its SHA256SUMS, which must name each of them."""
    lines = (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    sums = {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}
    for file in [*folder.glob("*.zip"), *folder.glob("*.yaml")]:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        if sums.get(file.name) != digest:
            raise ValueError(f"{file} is not the file of the release: its SHA-256 is {digest}")
