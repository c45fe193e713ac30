"""Deploys a release with AWS CDK, and lets a consumer read the key. Put the files of the release into the folder
`release`, and run in this folder:

    cdk deploy --all --app "python from_release.py" --context release=release
"""

import pathlib

import aws_cdk as cdk
from api_key_rotation import ApiKeyRotation, check_release
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager

# CDK's own check of this template takes minutes. CloudFormation and the project's linters check it, too.
app = cdk.App(builtin_cloud_formation_validation=False)
release = pathlib.Path(app.node.try_get_context("release") or "release")
check_release(release)
architecture = app.node.try_get_context("architecture") or "x86_64"
[zipped] = release.glob(f"api-key-rotation-*-{architecture}.zip")
[template] = release.glob("api-key-rotation-*.yaml")

stack = cdk.Stack(app, "partner-api-key")
rotation = ApiKeyRotation(
    stack,
    "Rotation",
    template=template,
    code=zipped,
    parameters={
        "SecretName": "shop/partner-api-key",
        "UsagePlanIds": "a1b2c3",
        "AlarmTopicArn": "arn:aws:sns:eu-west-1:123456789012:on-call",
        "Architecture": architecture,
    },
)

# A consumer reads the secret when it needs the key, so it gets the ARN and the right to read, and never the value.
consumers = cdk.Stack(app, "partner-consumers")
secret = secretsmanager.Secret.from_secret_complete_arn(consumers, "PartnerApiKey", rotation.secret_arn)
role = iam.Role(consumers, "Consumer", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"))
secret.grant_read(role)
app.synth()
