"""Says what a resource of the template is in Terraform: its address, and its attributes.

Each property is taken out of the template's resource, and what is left is an error. So a new property has to be added
here, and to examples/terraform-native.
"""

import json
import re

from cloudformation import ACCOUNT, REGION

SECRET_ARN = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:shop/partner-api-key-AbCdEf"
# Resources whose ARNs are read, and their services.
SERVICES = {
    "aws_cloudwatch_event_rule": "events",
    "aws_cloudwatch_log_group": "logs",
    "aws_cloudwatch_metric_alarm": "cloudwatch",
    "aws_iam_role": "iam",
    "aws_lambda_function": "lambda",
    "aws_secretsmanager_secret": "secretsmanager",
}
# Rules whose names CloudFormation chooses, and Terraform has to give.
NAMED = {"RotationFunctionReconciliation": "reconciliation", "RotationFunctionCurrentVersionMoved": "version-moved"}
# What Terraform alone sets.
OWN = {
    "aws_cloudwatch_event_rule": {"tags"},
    "aws_cloudwatch_log_group": {"tags"},
    "aws_cloudwatch_metric_alarm": {"tags"},
    "aws_iam_role": {"name_prefix", "tags"},
    "aws_lambda_function": {"filename", "source_code_hash", "tags"},
    "aws_secretsmanager_secret": {"tags"},
}


def snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def rule(logical):
    """Returns the name of a rule in Terraform."""
    return snake(logical.removeprefix("RotationFunction").removesuffix("Rule"))


def addresses(logical, kind):
    """Returns the addresses of a resource in Terraform: one, and for a rule that of its target too."""
    name = snake(logical)
    if kind == "AWS::CloudWatch::Alarm":
        key = name.removesuffix("_alarm").replace("_", "-")
        own = key == "current-key-too-old"
        return ["aws_cloudwatch_metric_alarm." + ("current_key_too_old" if own else f'alarm["{key}"]')]
    if kind == "AWS::Logs::QueryDefinition":
        key = {"secrets": "secrets-behind-alarms"}.get(name.removesuffix("_query"), name.removesuffix("_query").replace("_", "-"))
        return [f'aws_cloudwatch_query_definition.query["{key}"]']
    if kind == "AWS::Events::Rule":
        place = rule(logical) + ("[0]" if logical == "NoticesRule" else "")
        return [f"aws_cloudwatch_event_rule.{place}", f"aws_cloudwatch_event_target.{place}"]
    if kind == "AWS::Lambda::Permission":
        if logical == "SecretsManagerMayInvoke":
            return ["aws_lambda_permission.secrets_manager_may_invoke"]
        return [f'aws_lambda_permission.rule_may_invoke["{rule(logical.removesuffix("Permission"))}"]']
    terraform, counted = {
        "AWS::CloudWatch::Dashboard": ("aws_cloudwatch_dashboard", ""),
        "AWS::IAM::Role": ("aws_iam_role", ""),
        "AWS::Logs::LogGroup": ("aws_cloudwatch_log_group", ""),
        "AWS::SecretsManager::RotationSchedule": ("aws_secretsmanager_secret_rotation", "[0]"),
        "AWS::SecretsManager::Secret": ("aws_secretsmanager_secret", "[0]"),
        "AWS::Serverless::Function": ("aws_lambda_function", ""),
    }[kind]
    policy = ["aws_iam_role_policy.rotation"] if kind == "AWS::IAM::Role" else []
    return [f"{terraform}.{name}{counted}", *policy]


def arn(address):
    """Returns the ARN of a resource, which AWS chooses."""
    kind, _, place = address.partition(".")
    if kind == "aws_secretsmanager_secret":
        return SECRET_ARN
    return f"arn:aws:{SERVICES[kind]}:{'' if kind == 'aws_iam_role' else REGION}:{ACCOUNT}:{re.sub('[^a-z_-]', '/', place)}"


def names(name):
    """Returns what AWS chooses for the resources of the template with this name of a stack."""
    references = {"RotationFunction": name, "Secret": SECRET_ARN, "LogGroup": f"/aws/lambda/{name}", "Dashboard": name}

    def attribute(logical, wanted):
        if wanted is None:
            return references[logical]
        if wanted != "Arn":
            raise KeyError(wanted)
        kinds = {"RotationFunction": "AWS::Serverless::Function", "Role": "AWS::IAM::Role", "LogGroup": "AWS::Logs::LogGroup"}
        other = "AWS::CloudWatch::Alarm" if logical.endswith("Alarm") else "AWS::Events::Rule"
        found = arn(addresses(logical, kinds.get(logical, other))[0])
        return f"{found}:*" if logical == "LogGroup" else found

    return attribute


def computed(address, own):
    """Returns what AWS chooses for a resource in Terraform. The ARN of a log group has no star at its end, as it has there."""
    if address.partition(".")[0] not in SERVICES:
        return {}
    return {"arn": arn(address)} | ({"name": "chosen"} if own.get("name_prefix") else {})


def plain(value):
    """Removes differences in notation: a list of one value, and JSON as a text."""
    if isinstance(value, str) and value[:1] == "{" and "<" not in value:
        return plain(json.loads(value))
    if isinstance(value, list):
        return plain(value[0]) if len(value) == 1 and isinstance(value[0], str) else [plain(one) for one in value]
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return value


def present(values):
    """Leaves out attributes without a value, which Terraform treats as not set."""
    return {key: value for key, value in values.items() if value is not None and value not in ([], {}, "")}


def expected(stack, name):
    """Returns the attributes of each resource that Terraform has to create, by address."""
    found = {}
    for logical, (kind, properties) in stack.resources().items():
        translate = globals()["_" + snake(kind.rpartition("::")[2])]
        attributes = translate(properties, name, logical)
        if properties:
            raise ValueError(f"{logical}: no counterpart of {properties}")
        found |= dict(zip(addresses(logical, kind), map(present, attributes), strict=True))
    return found


def _secret(taken, name, logical):
    return [{"name": taken.pop("Name"), "description": taken.pop("Description"), "kms_key_id": taken.pop("KmsKeyId", None)}]


def _rotation_schedule(taken, name, logical):
    rules = taken.pop("RotationRules")
    return [
        {
            "secret_id": taken.pop("SecretId"),
            "rotation_lambda_arn": taken.pop("RotationLambdaARN"),
            "rotate_immediately": taken.pop("RotateImmediatelyOnUpdate") == "true",
            "rotation_rules": [{"schedule_expression": rules.pop("ScheduleExpression"), "duration": rules.pop("Duration", None)} | rules],
        }
    ]


def _function(taken, name, logical):
    # Terraform reads the code from the release.
    taken.pop("CodeUri")
    logging = {snake(key): value for key, value in taken.pop("LoggingConfig").items()}
    vpc = {snake(key).replace("ipv6allowed", "ipv6_allowed"): value for key, value in taken.pop("VpcConfig", {}).items()}
    concurrency = taken.pop("ReservedConcurrentExecutions", None)
    same = {
        snake(key): taken.pop(key)
        for key in ["FunctionName", "Description", "Handler", "Runtime", "Architectures", "Timeout", "MemorySize", "Role"]
    }
    return [
        same
        | {
            "reserved_concurrent_executions": concurrency and int(concurrency),
            "code_signing_config_arn": taken.pop("CodeSigningConfigArn", None),
            "vpc_config": [vpc] if vpc else None,
            "logging_config": [logging],
            "environment": [{"variables": taken.pop("Environment").pop("Variables")}],
        }
    ]


def _rule(taken, name, logical):
    [target] = taken.pop("Targets")
    transformer = target.pop("InputTransformer", None)
    shared = {"event_bus_name": taken.pop("EventBusName", None)}
    # CloudFormation chooses a name where the template has none.
    own = {
        "name": f"{name}-{NAMED[logical]}" if logical in NAMED else taken.pop("Name"),
        "description": taken.pop("Description", None),
        "schedule_expression": taken.pop("ScheduleExpression", None),
        "event_pattern": taken.pop("EventPattern", None),
    }
    aimed = {
        "rule": own["name"],
        "target_id": target.pop("Id"),
        "arn": target.pop("Arn"),
        "input": target.pop("Input", None),
        "input_transformer": transformer
        and [{"input_paths": transformer.pop("InputPathsMap"), "input_template": transformer.pop("InputTemplate")} | transformer],
    }
    return [own | shared, aimed | shared | target]


def _permission(taken, name, logical):
    # Both are names of the function for Lambda.
    taken["FunctionName"] = name if taken["FunctionName"] in (name, arn("aws_lambda_function.rotation_function")) else None
    return [{snake(key): taken.pop(key) for key in list(taken)}]


def _log_group(taken, name, logical):
    return [{"name": taken.pop("LogGroupName"), "retention_in_days": int(taken.pop("RetentionInDays"))}]


def _role(taken, name, logical):
    [policy] = taken.pop("Policies")
    role = {
        "name": taken.pop("RoleName", None),
        "description": taken.pop("Description"),
        "path": taken.pop("Path", None),
        "permissions_boundary": taken.pop("PermissionsBoundary", None),
        "assume_role_policy": taken.pop("AssumeRolePolicyDocument"),
    }
    return [role, {"name": policy.pop("PolicyName"), "role": role["name"] or "chosen", "policy": policy.pop("PolicyDocument")} | policy]


def _alarm(taken, name, logical):
    def by_name(dimensions):
        return {one["Name"]: one["Value"] for one in dimensions}

    queries = []
    for query in taken.pop("Metrics", []):
        query = {snake(key): value for key, value in query.items()}
        # CloudFormation returns the data of a query unless it is told not to.
        query.setdefault("return_data", True)
        if stat := query.pop("metric_stat", None):
            metric = {snake(key): value for key, value in stat.pop("Metric").items()}
            metric["dimensions"] = by_name(metric["dimensions"])
            query["metric"] = [metric | {snake(key): value for key, value in stat.items()}]
        queries.append(query)
    return [
        {
            "dimensions": by_name(taken.pop("Dimensions", [])),
            "ok_actions": taken.pop("OKActions", None),
            "alarm_description": taken.pop("AlarmDescription").strip(),
            "threshold": int(taken.pop("Threshold")),
            "metric_query": queries,
        }
        | {snake(key): taken.pop(key) for key in list(taken)}
    ]


def _query_definition(taken, name, logical):
    same = {"name": taken.pop("Name"), "log_group_names": taken.pop("LogGroupNames"), "query_string": taken.pop("QueryString")}
    return [same]


def _dashboard(taken, name, logical):
    return [{"dashboard_name": taken.pop("DashboardName"), "dashboard_body": taken.pop("DashboardBody")}]
