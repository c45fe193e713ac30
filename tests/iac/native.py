"""Values for the module in examples/terraform-native, and the parameters of the template that are the same."""

import hashlib
import itertools

import hcl
import template
from cloudformation import ACCOUNT, REGION
from counterparts import computed, snake

FOLDER = template.PROJECT / "examples/terraform-native"
NAME = "partner-api-key"
# For local runs only.
LEFT_OUT = {"EndpointUrl"}
DATA = {
    "aws_partition": {"partition": "aws", "dns_suffix": "amazonaws.com"},
    "aws_region": {"id": REGION},
    "aws_caller_identity": {"account_id": ACCOUNT},
}
KMS = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/"
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:"
IDENTITY = "0b1f0a6e-58c5-4b1c-9f0e-2d1a7c3e9b44"
# The three ways, and a fleet without and with documents.
WAYS = [
    {"SecretName": "shop/partner-api-key", "UsagePlanIds": "a1b2c3,d4e5f6"},
    {"ExistingSecretArn": f"{SECRET}shop/existing-AbCdEf"},
    {"Fleet": "true"},
    {"Fleet": "true", "FleetConfigSecretArns": f"{SECRET}fleet/one-AbCdEf,{SECRET}fleet/two-AbCdEf"},
]
# Other values of each parameter, some together with what they need.
CHANGES = [
    {"SecretDescription": "A key of the shop."},
    {"KmsKeyArn": f"{KMS}one"},
    {"FleetConfigKmsKeyArn": f"{KMS}two"},
    {"FleetDefault": "inherit"},
    {"FleetUsagePlanIds": "a1b2c3"},
    {"DopplerAllowed": "shop/prd,partner-*/prd"},
    {"ProbeAllowed": "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com"},
    {"ScheduleExpression": "rate(8 hours)", "ScheduleDuration": "8h"},
    {"ScheduleExpression": ""},
    {"RotateImmediately": "false"},
    {"UsagePlanIds": "g7h8"},
    {"UsagePlanIds": "", "StageKeys": "a1b2c3d4e5/prod"},
    {"UsagePlanIds": "", "AllowKeyWithoutPlan": "true"},
    {"ProbeUrl": "https://a1.execute-api.eu-west-1.amazonaws.com/prod"},
    {"PropagationDelay": "90s", "GracePeriod": "48h", "QuarantinePeriod": "30d"},
    {"HoldWhileUsed": "0s"},
    {"ReconcileSchedule": "rate(15 minutes)"},
    {"DopplerTargets": "shop/prd/PARTNER_API_KEY"},
    {"DopplerAdoptTargets": "shop/prd/PARTNER_API_KEY"},
    {"DopplerIdentity": IDENTITY},
    {"DopplerIdentity": IDENTITY, "DopplerAudience": "https://api.doppler.com"},
    {"DopplerTokenSecretArn": f"{SECRET}shop/token-AbCdEf"},
    {"DopplerTokenSecretArn": f"{SECRET}shop/token-AbCdEf", "DopplerTokenKmsKeyArn": f"{KMS}three"},
    {"DopplerApiUrl": "https://doppler.example.com", "DopplerCreateMissing": "true"},
    {"EventBusName": "default"},
    {"EventBusName": "keys", "NoticeTopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:owners"},
    {"AlarmTopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:on-call", "CurrentKeyMaxAgeDays": "100"},
    {"DocumentationUrl": "https://example.com/docs"},
    {"Architecture": "arm64"},
    {"RoleName": "partner-rotation", "RolePath": "/rotation/"},
    {"LogLevel": "DEBUG", "LogRetentionDays": "365"},
    {"ReservedConcurrency": "2"},
    {"CodeSigningConfigArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:code-signing-config:csc-0123456789abcdef0"},
    {"SubnetIds": "subnet-0123abcd,subnet-4567abcd", "SecurityGroupIds": "sg-0123abcd"},
    {"HttpsProxy": "http://proxy.example.com:3128"},
    {"HttpsProxy": "http://proxy.example.com:3128", "NoProxy": "10.0.0.0/8"},
    {"UseFipsEndpoint": "true"},
    {"UseDualStackEndpoint": "true"},
    {"PermissionsBoundaryArn": f"arn:aws:iam::{ACCOUNT}:policy/boundary"},
    {"WiderTagPermission": "true"},
    {"WiderKeyPermission": "true"},
]
# What breaks a rule that no two changes break.
MORE = [
    {},
    {"SecretName": "shop/partner-api-key"},
    WAYS[0] | WAYS[1],
    WAYS[1] | WAYS[3] | {"Fleet": "false"},
    WAYS[1] | {"DopplerTokenSecretArn": WAYS[1]["ExistingSecretArn"]},
    WAYS[1] | {"DopplerAudience": "a"},
    WAYS[1] | {"NoProxy": "10.0.0.0/8"},
    WAYS[1] | {"SubnetIds": "subnet-0123abcd"},
    WAYS[1] | {"SecurityGroupIds": "sg-0123abcd"},
    WAYS[1] | {"NoticeTopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:owners"},
    {"Fleet": "true", "DopplerAllowed": "a/b"}
    | {name: f"{SECRET}fleet/one-AbCdEf" for name in ("FleetConfigSecretArns", "DopplerTokenSecretArn")},
    *(
        WAYS[0] | {"ScheduleExpression": f"rate({interval} hours)", "ScheduleDuration": f"{window}h"}
        for interval in range(4, 26)
        for window in range(1, 25)
    ),
]


def make_release(folder):
    """Makes a folder like that of a release. Its zips have no program."""
    sums = []
    for architecture in ("x86_64", "arm64"):
        zipped = folder / f"api-key-rotation-0.0.0-{architecture}.zip"
        zipped.write_text(f"not a program for {architecture}", encoding="utf-8")
        sums.append(f"{hashlib.sha256(zipped.read_bytes()).hexdigest()}  {zipped.name}\n")
    (folder / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")


def cases():
    """Returns parameters: each way with each change; for a new secret and a fleet with documents, also with each two."""
    for way in WAYS:
        yield way
        for change in CHANGES:
            yield way | change
    for way in (WAYS[0], WAYS[3]):
        for one, other in itertools.combinations(CHANGES, 2):
            if not set(one) & set(other):
                yield way | one | other
    yield from MORE


def variables(parameters):
    """Returns the variables of the module that are the same as parameters of the template."""
    return {snake(name): value for name, value in parameters.items()}


def module(release, parameters, chosen=computed, name=NAME):
    """Returns the module with these parameters and the code in a folder."""
    return hcl.Module(FOLDER, {"name": name, "release": str(release)} | variables(parameters), chosen, DATA)
