locals {
  # The two files, which the folder has once each.
  zip      = one(fileset(var.release, "api-key-rotation-*-${var.architecture}.zip"))
  template = one(fileset(var.release, "api-key-rotation-*.yaml"))

  lines = split("\n", trimspace(file("${var.release}/SHA256SUMS")))
  sums  = { for line in local.lines : split("  ", line)[1] => split("  ", line)[0] }

  source = file("${var.release}/${local.template}")
  place  = "      CodeUri: .\n"
  body   = replace(local.source, local.place, "      CodeUri: s3://${aws_s3_object.code.bucket}/${aws_s3_object.code.key}\n")
}

data "aws_region" "current" {}

# The key of an object names its content: another content is another key, which an update of the stack notices.
resource "aws_s3_object" "code" {
  bucket = var.bucket
  key    = "api-key-rotation/${filesha256("${var.release}/${local.zip}")}.zip"
  source = "${var.release}/${local.zip}"

  lifecycle {
    precondition {
      condition     = lookup(local.sums, local.zip, "") == filesha256("${var.release}/${local.zip}")
      error_message = "The zip is not the file of the release: SHA256SUMS has another checksum."
    }
  }
}

# More than the 51,200 bytes that a template in a call may have.
resource "aws_s3_object" "template" {
  bucket  = var.bucket
  key     = "api-key-rotation/${sha256(local.body)}.yaml"
  content = local.body

  lifecycle {
    precondition {
      condition     = lookup(local.sums, local.template, "") == filesha256("${var.release}/${local.template}")
      error_message = "The template is not the file of the release: SHA256SUMS has another checksum."
    }

    precondition {
      condition     = length(split(local.place, local.source)) == 2
      error_message = "The template has not one CodeUri to replace."
    }
  }
}

resource "aws_cloudformation_stack" "rotation" {
  name         = var.name
  template_url = "https://${var.bucket}.s3.${data.aws_region.current.id}.amazonaws.com/${aws_s3_object.template.key}"
  capabilities = ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
  tags         = var.tags

  parameters = {
    Architecture           = var.architecture
    SecretName             = var.secret_name
    SecretDescription      = var.secret_description
    ExistingSecretArn      = var.existing_secret_arn
    KmsKeyArn              = var.kms_key_arn
    Fleet                  = var.fleet
    FleetConfigSecretArns  = var.fleet_config_secret_arns
    FleetConfigKmsKeyArn   = var.fleet_config_kms_key_arn
    FleetDefault           = var.fleet_default
    FleetUsagePlanIds      = var.fleet_usage_plan_ids
    DopplerAllowed         = var.doppler_allowed
    ProbeAllowed           = var.probe_allowed
    ScheduleExpression     = var.schedule_expression
    ScheduleDuration       = var.schedule_duration
    RotateImmediately      = var.rotate_immediately
    UsagePlanIds           = var.usage_plan_ids
    StageKeys              = var.stage_keys
    AllowKeyWithoutPlan    = var.allow_key_without_plan
    ProbeUrl               = var.probe_url
    PropagationDelay       = var.propagation_delay
    GracePeriod            = var.grace_period
    HoldWhileUsed          = var.hold_while_used
    QuarantinePeriod       = var.quarantine_period
    ReconcileSchedule      = var.reconcile_schedule
    DopplerTargets         = var.doppler_targets
    DopplerAdoptTargets    = var.doppler_adopt_targets
    DopplerIdentity        = var.doppler_identity
    DopplerAudience        = var.doppler_audience
    DopplerTokenSecretArn  = var.doppler_token_secret_arn
    DopplerTokenKmsKeyArn  = var.doppler_token_kms_key_arn
    DopplerApiUrl          = var.doppler_api_url
    DopplerCreateMissing   = var.doppler_create_missing
    EventBusName           = var.event_bus_name
    NoticeTopicArn         = var.notice_topic_arn
    AlarmTopicArn          = var.alarm_topic_arn
    CurrentKeyMaxAgeDays   = var.current_key_max_age_days
    DocumentationUrl       = var.documentation_url
    RoleName               = var.role_name
    LogLevel               = var.log_level
    LogRetentionDays       = var.log_retention_days
    ReservedConcurrency    = var.reserved_concurrency
    CodeSigningConfigArn   = var.code_signing_config_arn
    SubnetIds              = var.subnet_ids
    SecurityGroupIds       = var.security_group_ids
    HttpsProxy             = var.https_proxy
    NoProxy                = var.no_proxy
    UseFipsEndpoint        = var.use_fips_endpoint
    UseDualStackEndpoint   = var.use_dual_stack_endpoint
    PermissionsBoundaryArn = var.permissions_boundary_arn
    RolePath               = var.role_path
    WiderTagPermission     = var.wider_tag_permission
    WiderKeyPermission     = var.wider_key_permission
  }
}
