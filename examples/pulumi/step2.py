"""The second step: nothing of the program holds the value any more.

The key, its place on the plan, the version and the value in Doppler still exist, and consumers still use them. The stack
gets its schedule, with a test rotation, which changes nothing. Now rotate, and hand the superseded key over: README.md.
"""

import pulumi
import pulumi_aws as aws
from shared import doppler_config, rotation, usage_plan

plan = usage_plan()
secret = aws.secretsmanager.Secret("partner", name="shop/partner-api-key")
config = doppler_config()
rotation(plan, config, ExistingSecretArn=secret.arn, RotateImmediately="false")
pulumi.export("secret_arn", secret.arn)
