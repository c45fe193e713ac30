# Rules that invoke the function, and who may call it.

# Retires superseded keys when they are due, and repairs manual changes in Doppler or API Gateway.
resource "aws_cloudwatch_event_rule" "reconciliation" {
  name                = "${var.name}-reconciliation"
  description         = "Retires superseded API keys and repairs drift."
  schedule_expression = var.reconcile_schedule
  tags                = var.tags
}

resource "aws_cloudwatch_event_target" "reconciliation" {
  rule      = aws_cloudwatch_event_rule.reconciliation.name
  target_id = "RotationFunctionReconciliationLambdaTarget"
  arn       = aws_lambda_function.rotation_function.arn
  input     = jsonencode({ Step = "reconcile" })
}

# Updates the key, its plans and Doppler at once when AWSCURRENT moves, for instance after a manual rollback. A fleet
# receives events about every secret of the account, and ignores those that it does not manage.
resource "aws_cloudwatch_event_rule" "current_version_moved" {
  # A name of a rule has at most 64 characters, and that of the function 48.
  name = "${var.name}-version-moved"
  tags = var.tags

  event_pattern = jsonencode(merge(
    {
      source      = ["aws.secretsmanager"]
      detail-type = ["Secret Label Updated"]
      detail      = { labelUpdated = ["AWSCURRENT"] }
    },
    local.is_fleet ? {} : { resources = [local.secret_arn] },
  ))
}

resource "aws_cloudwatch_event_target" "current_version_moved" {
  rule      = aws_cloudwatch_event_rule.current_version_moved.name
  target_id = "RotationFunctionCurrentVersionMovedLambdaTarget"
  arn       = aws_lambda_function.rotation_function.arn
}

# A failed rotation may leave a key that has to be retired. CloudTrail delivers these events, so only if the account has a
# trail, and without a guarantee. The rotation-failed alarm counts them.
resource "aws_cloudwatch_event_rule" "rotation_failed" {
  name = "${var.name}-rotation-failed"
  tags = var.tags

  event_pattern = jsonencode({
    source      = ["aws.secretsmanager"]
    detail-type = ["AWS Service Event via CloudTrail"]
    detail = merge(
      { eventName = ["RotationFailed", "RotationAbandoned", "TestRotationFailed"] },
      # Only the message names the function, and not for all three events.
      local.is_fleet ? {
        additionalEventData = { SecretId = [{ prefix = "arn:" }] }
        errorMessage        = [{ wildcard = "*${local.function_arn} *" }]
      } : null,
      local.is_fleet ? null : { additionalEventData = { SecretId = [local.secret_arn] } },
    )
  })
}

# Only that secret, so that many failures at once do not reconcile the whole fleet each time.
resource "aws_cloudwatch_event_target" "rotation_failed" {
  rule      = aws_cloudwatch_event_rule.rotation_failed.name
  target_id = "RotationFunctionRotationFailedLambdaTarget"
  arn       = aws_lambda_function.rotation_function.arn

  input_transformer {
    input_paths    = { secret = "$.detail.additionalEventData.SecretId" }
    input_template = "{\"Step\":\"reconcile\",\"SecretId\":<secret>}"
  }
}

resource "aws_lambda_permission" "rule_may_invoke" {
  for_each = {
    reconciliation        = aws_cloudwatch_event_rule.reconciliation.arn
    current_version_moved = aws_cloudwatch_event_rule.current_version_moved.arn
    rotation_failed       = aws_cloudwatch_event_rule.rotation_failed.arn
  }

  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.rotation_function.function_name
  principal     = "events.amazonaws.com"
  source_arn    = each.value
}

# Secrets Manager acts for every account. It may call the function only for this account and this secret; for a fleet, for
# any secret of the account and Region.
resource "aws_lambda_permission" "secrets_manager_may_invoke" {
  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.rotation_function.function_name
  principal      = "secretsmanager.amazonaws.com"
  source_account = local.account
  source_arn     = local.is_fleet ? local.any_secret_arn : local.secret_arn
}

# Sends the notices to their owners. The topic is the operator's, and so is its policy:
# docs/notices.md#send-mail-to-owners.
resource "aws_cloudwatch_event_rule" "notices" {
  count = local.has_notice_topic ? 1 : 0

  name           = "${var.name}-notices"
  description    = "Sends the notices of the function ${var.name} to the owners of its keys."
  event_bus_name = var.event_bus_name
  tags           = var.tags

  event_pattern = jsonencode({
    source = ["api-key-rotation"]
    # Other accounts may be allowed to write to the bus.
    account = [local.account]
    detail  = { functionName = [var.name] }
  })
}

# A JSON string. The message that SNS gets keeps its double quotes.
resource "aws_cloudwatch_event_target" "notices" {
  count = local.has_notice_topic ? 1 : 0

  rule           = one(aws_cloudwatch_event_rule.notices[*].name)
  event_bus_name = var.event_bus_name
  target_id      = "owners"
  arn            = var.notice_topic_arn

  input_transformer {
    input_paths    = { message = "$.detail.message" }
    input_template = "\"<message>\""
  }
}
