"""Deploys this source with AWS CDK. Run `make build` first, and then in this folder:

    cdk deploy --app "python from_source.py"
"""

import pathlib

import aws_cdk as cdk
from api_key_rotation import ApiKeyRotation

PROJECT = pathlib.Path(__file__).resolve().parents[2]

# CDK's own check of this template takes minutes. CloudFormation and the project's linters check it, too.
app = cdk.App(builtin_cloud_formation_validation=False)
# The name of the stack becomes the function's name, and the owner tag of every key.
stack = cdk.Stack(app, "partner-api-key")
ApiKeyRotation(
    stack,
    "Rotation",
    template=PROJECT / "template.yaml",
    # What `make build` leaves there. Another folder with the program is given with --context code=...
    code=pathlib.Path(app.node.try_get_context("code") or PROJECT / "target/lambda/api-key-rotation"),
    parameters={
        "SecretName": "shop/partner-api-key",
        "UsagePlanIds": "a1b2c3",
        "ScheduleExpression": "rate(90 days)",
        "CurrentKeyMaxAgeDays": "100",
        "Architecture": app.node.try_get_context("architecture") or "x86_64",
    },
)
app.synth()
