"""A new key: the stack creates the secret, and the function the key and the value in Doppler."""

import pulumi
from shared import doppler_config, rotation, usage_plan

created = rotation(usage_plan(), doppler_config(), SecretName="shop/partner-api-key")
# Pass on the ARN, and never the value.
pulumi.export("secret_arn", created.secret_arn)
