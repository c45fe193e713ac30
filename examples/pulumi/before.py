"""The key as many programs manage it: its value is in the state, in the secret and in Doppler, and never changes."""

import json

import pulumi
import pulumi_aws as aws
import pulumiverse_doppler as doppler
from shared import TARGET, doppler_config, usage_plan

plan = usage_plan()
key = aws.apigateway.ApiKey("partner")
aws.apigateway.UsagePlanKey("partner", key_id=key.id, key_type="API_KEY", usage_plan_id=plan.id)
secret = aws.secretsmanager.Secret("partner", name="shop/partner-api-key")
aws.secretsmanager.SecretVersion(
    "partner", secret_id=secret.id, secret_string=key.value.apply(lambda value: json.dumps({"apiKey": value}))
)
config = doppler_config()
doppler.Secret("partner", project=config.project, config=config.name, name=TARGET, value=key.value)
pulumi.export("secret_arn", secret.arn)
