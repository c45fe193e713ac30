"""Starts ministack with changes that make its Secrets Manager and API Gateway close enough to AWS's for a rotation.

Unchanged, ministack 1.5.33
- stores an empty value in a secret that a stack creates without one, and !Ref returns its name instead of its ARN;
- answers GetSecretValue for a version without a value, where AWS returns ResourceNotFoundException;
- completes RotateSecret at once, where AWS announces a version and invokes the function;
- does not support AWS::SecretsManager::RotationSchedule, nor AWS::Logs::QueryDefinition, of which this script creates only the name;
- does not support an alarm on a metric expression: this script replaces it with one on the expression's metric;
- accepts a disabled API key, and ignores a key's tags in the conditions of a policy;
- keeps a process of the function with the old settings after they were updated.

With the changes, ministack still does not invoke the function for a rotation: the test runs the steps one by one.
The changes depend on ministack's internals, so its version is pinned.
"""

import sys

from ministack import app
from ministack.core.responses import error_response_json, json_response, new_uuid
from ministack.services import apigateway_v1, lambda_svc, secretsmanager, tagging
from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS as resources

SECRET, ALARM = resources["AWS::SecretsManager::Secret"], resources["AWS::CloudWatch::Alarm"]
FUNCTION = resources["AWS::Lambda::Function"]
update_api_key = apigateway_v1._update_api_key
get_secret_value, create_secret = secretsmanager._get_secret_value, SECRET["create"]
update_secret, delete_secret = SECRET["update"], SECRET["delete"]


def secret_of(secret_id):
    return secretsmanager._resolve(secret_id)[1]


def get_existing_secret_value(request):
    answer = get_secret_value(request)
    if answer[0] == 200 and b'"SecretString"' not in answer[2]:
        return error_response_json("ResourceNotFoundException", "Secrets Manager can't find the specified secret value.", 400)
    return answer


def switch_rotation_on(secret, function, rules):
    secret["RotationEnabled"] = True
    secret["RotationLambdaARN"] = function or secret["RotationLambdaARN"]
    secret["RotationRules"] = rules or secret["RotationRules"]


def announce_rotation(request):
    secret = secret_of(request["SecretId"])
    switch_rotation_on(secret, request.get("RotationLambdaARN"), request.get("RotationRules"))
    token = request.get("ClientRequestToken") or new_uuid()
    secret["Versions"][token] = {"CreatedDate": 0, "Stages": ["AWSPENDING"]}
    return json_response({"ARN": secret["ARN"], "Name": secret["Name"], "VersionId": token})


def create_secret_without_value(logical_id, properties, stack):
    name, attributes = create_secret(logical_id, properties, stack)
    secret_of(name)["Versions"].clear()
    return attributes["Arn"], attributes


def update_secret_by_arn(arn, old, new, stack, logical_id):
    _, attributes = update_secret(secret_of(arn)["Name"], old, new, stack, logical_id)
    return arn, attributes


def schedule_rotation(_logical_id, properties, _stack):
    secret = secret_of(properties["SecretId"])
    switch_rotation_on(secret, properties["RotationLambdaARN"], properties["RotationRules"])
    return secret["ARN"], {}


def without_calculation(properties):
    stats = [query["MetricStat"] for query in properties.get("Metrics", ()) if "MetricStat" in query]
    if not stats:
        return properties
    plain = {"Period": stats[0]["Period"], "Statistic": stats[0]["Stat"]} | stats[0]["Metric"]
    return {name: value for name, value in properties.items() if name != "Metrics"} | plain


def update_function(name, *rest):
    updated = FUNCTION["update"](name, *rest)
    lambda_svc.invalidate_worker(name)
    return updated


def update_api_key_with_boolean(key_id, request):
    # It keeps the text "false", which counts as true.
    for operation in request.get("patchOperations", ()):
        if operation["path"] == "/enabled":
            operation["value"] = operation["value"] == "true"
    return update_api_key(key_id, request)


def tags_of_api_keys():
    for (_account, region, key_id), key in apigateway_v1._api_keys.all_items():
        tags = [{"Key": name, "Value": value} for name, value in key["tags"].items()]
        yield f"arn:aws:apigateway:{region}::/apikeys/{key_id}", tags


secretsmanager._get_secret_value = get_existing_secret_value
secretsmanager._rotate_secret = announce_rotation
apigateway_v1._update_api_key = update_api_key_with_boolean
resources["AWS::SecretsManager::Secret"] = SECRET | {
    "create": create_secret_without_value,
    "update": update_secret_by_arn,
    "delete": lambda arn, properties: delete_secret(secret_of(arn)["Name"], properties),
}
resources["AWS::SecretsManager::RotationSchedule"] = {
    "create": schedule_rotation,
    "delete": lambda arn, _properties: secret_of(arn).update(RotationEnabled=False),
}
resources["AWS::Logs::QueryDefinition"] = {
    "create": lambda logical_id, _properties, _stack: (f"{logical_id}-{new_uuid()}", {}),
    "delete": lambda _id, _properties: None,
}
resources["AWS::Lambda::Function"] = FUNCTION | {"update": update_function}
resources["AWS::CloudWatch::Alarm"] = ALARM | {
    "create": lambda name, new, *rest: ALARM["create"](name, without_calculation(new), *rest),
    "update": lambda name, old, new, *rest: ALARM["update"](name, old, without_calculation(new), *rest),
}
tagging._RESOURCE_TAG_COLLECTORS["apigateway"] = tags_of_api_keys
sys.exit(app.main())
