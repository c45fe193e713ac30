# template.yaml, in Terraform: each resource, condition and statement has its counterpart there, and the same name in
# snake case. Tests hold both equal (README.md), so change them together.

data "aws_partition" "current" {}

data "aws_region" "current" {}

data "aws_caller_identity" "current" {}

# The conditions of the template. An empty variable is one that is not set. How many resources there are must not depend on
# an ARN or an ID, which Terraform may know only after the apply that creates its resource.
locals {
  is_fleet                 = var.fleet == "true"
  has_existing_secret      = var.existing_secret_arn != ""
  serves_one_secret        = !local.is_fleet
  has_fleet_config         = var.fleet_config_secret_arns != ""
  has_fleet_config_kms_key = var.fleet_config_kms_key_arn != ""
  makes_secret             = local.serves_one_secret && var.secret_name != ""
  has_kms_key              = var.kms_key_arn != ""
  has_schedule             = local.serves_one_secret && var.schedule_expression != ""
  has_usage_plan_ids       = var.usage_plan_ids != ""
  configures_usage_plans   = local.has_usage_plan_ids || local.has_fleet_config
  limits_usage_plans       = local.has_usage_plan_ids || var.fleet_usage_plan_ids != ""
  reads_any_usage_plan     = local.has_fleet_config && !local.limits_usage_plans
  may_have_targets         = var.doppler_targets != "" || local.has_fleet_config
  has_doppler_identity     = local.may_have_targets && var.doppler_identity != ""
  has_doppler_audience     = local.has_doppler_identity && var.doppler_audience != ""
  has_doppler_token        = local.may_have_targets && var.doppler_token_secret_arn != ""
  has_doppler_token_kms    = local.has_doppler_token && var.doppler_token_kms_key_arn != ""
  # Another spelling of zero, such as 0m, only leaves the role a permission that it does not use.
  reads_usage   = var.hold_while_used != "0s" && !local.reads_any_usage_plan
  has_event_bus = var.event_bus_name != ""
  has_notice_topic = (
    var.sends_notices_to_topic != null ? var.sends_notices_to_topic : local.has_event_bus && var.notice_topic_arn != ""
  )
  has_role_name   = var.role_name != ""
  has_subnets     = var.subnet_ids != ""
  has_https_proxy = var.https_proxy != ""
  uses_fips       = var.use_fips_endpoint == "true"
  uses_dual_stack = var.use_dual_stack_endpoint == "true"
  widens_tags     = var.wider_tag_permission == "true"
  widens_keys     = var.wider_key_permission == "true"
}

locals {
  partition = data.aws_partition.current.partition
  # In both versions 5 and 6 of the provider, this is the name of the Region.
  region  = data.aws_region.current.id
  account = data.aws_caller_identity.current.account_id

  # Null for a fleet.
  secret_arn = (
    local.is_fleet ? null : local.makes_secret ? one(aws_secretsmanager_secret.secret[*].arn) : var.existing_secret_arn
  )
  # For a fleet: any secret of the account and Region.
  any_secret_arn = "arn:${local.partition}:secretsmanager:${local.region}:${local.account}:secret:*"
  # Written out, because the function refers to its role, whose policy contains it.
  function_arn = "arn:${local.partition}:lambda:${local.region}:${local.account}:function:${var.name}"

  doppler_audience = local.has_doppler_audience ? var.doppler_audience : "doppler/${var.doppler_identity}"
}

# The release: the zip, which the folder has once for each processor, and its checksum.
locals {
  zip   = one(fileset(var.release, "api-key-rotation-*-${var.architecture}.zip"))
  lines = split("\n", trimspace(file("${var.release}/SHA256SUMS")))
  sums  = { for line in local.lines : split("  ", line)[1] => split("  ", line)[0] }
}

# Without a version, because only the function writes the value: Terraform would keep one in its state, and could write it
# over the current key. The secret is not destroyed, because consumers still read it: README.md, "Remove".
resource "aws_secretsmanager_secret" "secret" {
  count = local.makes_secret ? 1 : 0

  name        = var.secret_name
  description = var.secret_description != "" ? var.secret_description : "An API Gateway key, rotated by the function ${var.name}."
  kms_key_id  = local.has_kms_key ? var.kms_key_arn : null
  tags        = var.tags

  lifecycle {
    prevent_destroy = true
  }
}

# It starts the first rotation, so all else comes first: if something failed later, the rotation would run with a part of
# it. Secrets Manager checks at once whether it may call the function.
resource "aws_secretsmanager_secret_rotation" "secret_rotation" {
  count = local.has_schedule ? 1 : 0

  secret_id           = local.secret_arn
  rotation_lambda_arn = aws_lambda_function.rotation_function.arn
  rotate_immediately  = var.rotate_immediately == "true"

  rotation_rules {
    schedule_expression = var.schedule_expression
    duration            = var.schedule_duration != "" ? var.schedule_duration : null
  }

  depends_on = [
    aws_cloudwatch_dashboard.dashboard,
    aws_cloudwatch_event_target.current_version_moved,
    aws_cloudwatch_event_target.notices,
    aws_cloudwatch_event_target.reconciliation,
    aws_cloudwatch_event_target.rotation_failed,
    aws_cloudwatch_query_definition.query,
    aws_iam_role_policy.rotation,
    aws_lambda_permission.rule_may_invoke,
    aws_lambda_permission.secrets_manager_may_invoke,
  ]
}

resource "aws_lambda_function" "rotation_function" {
  # Known before the function exists, so its role and log group can contain the name without a reference to it.
  function_name    = var.name
  description      = "Rotates API Gateway keys that are kept in Secrets Manager."
  filename         = "${var.release}/${local.zip}"
  source_code_hash = filebase64sha256("${var.release}/${local.zip}")
  handler          = "bootstrap"
  runtime          = "provided.al2023"
  architectures    = [var.architecture]
  # testSecret waits up to two minutes for a new key to take effect, and API Gateway's control plane throttles callers.
  timeout = 300
  # The minimum, which the function does not need: docs/performance.md#memory-size.
  memory_size                    = 128
  role                           = aws_iam_role.role.arn
  reserved_concurrent_executions = var.reserved_concurrency != "" ? tonumber(var.reserved_concurrency) : null
  code_signing_config_arn        = var.code_signing_config_arn != "" ? var.code_signing_config_arn : null
  tags                           = var.tags

  dynamic "vpc_config" {
    for_each = local.has_subnets ? [true] : []

    content {
      subnet_ids                  = split(",", var.subnet_ids)
      security_group_ids          = split(",", var.security_group_ids)
      ipv6_allowed_for_dual_stack = local.uses_dual_stack ? true : null
    }
  }

  logging_config {
    log_format            = "JSON"
    application_log_level = var.log_level
    system_log_level      = "INFO"
    log_group             = aws_cloudwatch_log_group.log_group.name
  }

  environment {
    variables = merge(
      local.serves_one_secret ? { SECRET_ID = local.secret_arn } : {},
      { for name, value in local.settings : name => value if value != "" },
    )
  }

  lifecycle {
    precondition {
      condition     = lookup(local.sums, local.zip, "") == filesha256("${var.release}/${local.zip}")
      error_message = "The zip is not the file of the release: SHA256SUMS has another checksum."
    }
  }

  # Otherwise Lambda could create the network interfaces before it may.
  depends_on = [aws_iam_role_policy.rotation]
}

# The function's environment. An empty variable is left out.
locals {
  settings = {
    FLEET_CONFIG_SECRET_IDS    = var.fleet_config_secret_arns
    FLEET_DEFAULT              = local.has_fleet_config ? var.fleet_default : ""
    DOPPLER_ALLOWED            = var.doppler_allowed
    PROBE_ALLOWED              = var.probe_allowed
    USAGE_PLAN_IDS             = var.usage_plan_ids
    ALLOW_KEY_WITHOUT_PLAN     = var.allow_key_without_plan
    PROBE_URL                  = var.probe_url
    DOPPLER_TARGETS            = var.doppler_targets
    DOPPLER_ADOPT_TARGETS      = local.may_have_targets ? var.doppler_adopt_targets : ""
    STAGE_KEYS                 = var.stage_keys
    DOPPLER_IDENTITY           = local.has_doppler_identity ? var.doppler_identity : ""
    DOPPLER_AUDIENCE           = local.has_doppler_audience ? var.doppler_audience : ""
    DOPPLER_TOKEN_SECRET_ID    = local.has_doppler_token ? var.doppler_token_secret_arn : ""
    DOPPLER_API_URL            = var.doppler_api_url
    DOPPLER_CREATE_MISSING     = var.doppler_create_missing
    PROPAGATION_DELAY          = var.propagation_delay
    GRACE_PERIOD               = var.grace_period
    HOLD_WHILE_USED            = var.hold_while_used
    QUARANTINE_PERIOD          = var.quarantine_period
    EVENT_BUS_NAME             = var.event_bus_name
    DOCUMENTATION_URL          = var.documentation_url
    HTTPS_PROXY                = var.https_proxy
    NO_PROXY                   = local.has_https_proxy ? var.no_proxy : ""
    AWS_USE_FIPS_ENDPOINT      = local.uses_fips ? "true" : ""
    AWS_USE_DUALSTACK_ENDPOINT = local.uses_dual_stack ? "true" : ""
  }
}

resource "aws_cloudwatch_log_group" "log_group" {
  name              = "/aws/lambda/${var.name}"
  retention_in_days = tonumber(var.log_retention_days)
  tags              = var.tags
}
