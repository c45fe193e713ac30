"""What the programs have in common: the plan, and where the key is kept and mirrored."""

import pathlib

import pulumi
import pulumi_aws as aws
import pulumiverse_doppler as doppler
from api_key_rotation import ApiKeyRotation

RELEASE = pathlib.Path(pulumi.Config().get("release") or "../../target/package")
TARGET = "PARTNER_API_KEY"


def usage_plan() -> aws.apigateway.UsagePlan:
    """The plan of the partners. Its API and stage are left out here."""
    return aws.apigateway.UsagePlan("partners")


def doppler_config() -> doppler.BranchConfig:
    """The project, environment and config that hold the mirrored key. They hold no value, so they stay in Pulumi.

    The config that Doppler makes with an environment has the environment's slug as its name, and needs no resource. This
    one is a branch of it.
    """
    project = doppler.Project("shop", name="shop")
    environment = doppler.Environment("prd", project=project.name, slug="prd", name="Production")
    return doppler.BranchConfig("partners", project=project.name, environment=environment.slug, name="prd_partners")


def rotation(plan: aws.apigateway.UsagePlan, config: doppler.BranchConfig, **parameters: pulumi.Input[str]) -> ApiKeyRotation:
    """The function. The Doppler token is in a secret of its own, whose ARN is a setting."""
    settings = pulumi.Config()
    bucket = aws.s3.Bucket("releases")
    return ApiKeyRotation(
        "partner-api-key",
        release=RELEASE,
        bucket=bucket.bucket,
        parameters={
            "UsagePlanIds": plan.id,
            "DopplerTargets": pulumi.Output.concat(config.project, "/", config.name, "/", TARGET),
            "DopplerTokenSecretArn": settings.require("dopplerTokenSecretArn"),
            **parameters,
        },
    )
