"""The first step of the way over: the function is there, and changes nothing yet.

Everything that holds the value is marked, so that the second step can take it out of the program without deleting it: an
engine only keeps what was marked in an update before the one that removes it.
"""

import json

import pulumi
import pulumi_aws as aws
import pulumiverse_doppler as doppler
from shared import TARGET, doppler_config, rotation, usage_plan

KEPT = pulumi.ResourceOptions(retain_on_delete=True)

plan = usage_plan()
key = aws.apigateway.ApiKey("partner", opts=KEPT)
aws.apigateway.UsagePlanKey("partner", key_id=key.id, key_type="API_KEY", usage_plan_id=plan.id, opts=KEPT)
secret = aws.secretsmanager.Secret("partner", name="shop/partner-api-key")
aws.secretsmanager.SecretVersion(
    "partner",
    secret_id=secret.id,
    secret_string=key.value.apply(lambda value: json.dumps({"apiKey": value})),
    opts=KEPT,
)
config = doppler_config()
doppler.Secret("partner", project=config.project, config=config.name, name=TARGET, value=key.value, opts=KEPT)

# Without a schedule. Secrets Manager counts an interval from the last change of the secret, so the first scheduled rotation
# could come at any time, while Pulumi still has the version and the Doppler secret.
rotation(plan, config, ExistingSecretArn=secret.arn, RotateImmediately="false", ScheduleExpression="")
pulumi.export("secret_arn", secret.arn)
