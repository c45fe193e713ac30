# The alarms. Each description says what is wrong, and links to the section of the runbook that says what to do. For a
# fleet, rotation-failed counts only events that name this function. Reconciliations report the namespace ApiKeyRotation.
# Between two of them, an alarm keeps its state (ignore).
locals {
  alarms_page   = "${var.documentation_url}/alarms.md"
  alarm_actions = var.alarm_topic_arn != "" ? [var.alarm_topic_arn] : []

  # What most alarms have, an entry leaves out: one period, the threshold 1, and the dimension of the function.
  alarms = {
    function-errors = {
      description        = "A rotation step or a reconciliation failed. Secrets Manager retries a failed step automatically. See ${local.alarms_page}#function-errors."
      namespace          = "AWS/Lambda"
      metric_name        = "Errors"
      statistic          = "Sum"
      period             = 300
      treat_missing_data = "notBreaching"
    }

    function-throttled = {
      description        = "Lambda throttled the function, so a rotation can fail. The account has no concurrency left. See ${local.alarms_page}#function-throttled."
      namespace          = "AWS/Lambda"
      metric_name        = "Throttles"
      statistic          = "Sum"
      period             = 300
      treat_missing_data = "notBreaching"
    }

    near-timeout = {
      description         = "An invocation took more than 240 of its 300 seconds. The next one might not finish. See ${local.alarms_page}#near-timeout."
      namespace           = "AWS/Lambda"
      metric_name         = "Duration"
      statistic           = "Maximum"
      period              = 300
      threshold           = 240000
      comparison_operator = "GreaterThanThreshold"
      treat_missing_data  = "notBreaching"
    }

    rotation-failed = {
      description        = "Secrets Manager reports that a rotation or a test rotation failed or was abandoned. The current key keeps working. See ${local.alarms_page}#rotation-failed."
      namespace          = "AWS/Events"
      metric_name        = "TriggeredRules"
      dimensions         = { RuleName = aws_cloudwatch_event_rule.rotation_failed.name }
      statistic          = "Sum"
      period             = 300
      treat_missing_data = "notBreaching"
    }

    reconciliation-missing = {
      description         = "No reconciliation has seen every secret for 24 hours, or since the stack was created. Superseded keys might not be retired, and drift might not be repaired. See ${local.alarms_page}#reconciliation-missing."
      namespace           = "ApiKeyRotation"
      metric_name         = "Secrets"
      statistic           = "SampleCount"
      period              = 3600
      evaluation_periods  = 24
      comparison_operator = "LessThanThreshold"
      treat_missing_data  = "breaching"
    }

    no-working-key = {
      description        = "AWSCURRENT holds no key that works, so consumers cannot call the API. Act now. See ${local.alarms_page}#no-working-key."
      namespace          = "ApiKeyRotation"
      metric_name        = "SecretsWithoutWorkingKey"
      statistic          = "Maximum"
      period             = 300
      treat_missing_data = "ignore"
    }

    drift-repaired = {
      description        = "A key, its usage plans or a Doppler target was changed outside the function. The function has repaired it. See ${local.alarms_page}#drift-repaired."
      namespace          = "ApiKeyRotation"
      metric_name        = "DriftRepaired"
      statistic          = "Sum"
      period             = 3600
      treat_missing_data = "notBreaching"
    }

    keys-overdue = {
      description         = "Superseded keys were not retired on time. A Doppler target cannot be read, a replica is behind, or the current key does not work. See ${local.alarms_page}#keys-overdue."
      namespace           = "ApiKeyRotation"
      metric_name         = "KeysOverdue"
      statistic           = "Maximum"
      period              = 3600
      evaluation_periods  = 24
      datapoints_to_alarm = 3
      treat_missing_data  = "ignore"
    }

    superseded-key-still-used = {
      description        = "A superseded key is still used, so it stays enabled after its grace period. When HoldWhileUsed is over, it is disabled even if it is used. See ${local.alarms_page}#superseded-key-still-used."
      namespace          = "ApiKeyRotation"
      metric_name        = "KeysStillUsed"
      statistic          = "Maximum"
      period             = 3600
      treat_missing_data = "ignore"
    }

    keys-disabled-manually = {
      description        = "A key of a secret was disabled manually, and the function leaves it disabled. If it is the current key, no-working-key is in alarm too. See ${local.alarms_page}#keys-disabled-manually."
      namespace          = "ApiKeyRotation"
      metric_name        = "KeysDisabledManually"
      statistic          = "Maximum"
      period             = 3600
      treat_missing_data = "ignore"
    }

    keys-postponed = {
      description        = "Superseded keys were changed by something else at least three times. Their grace or quarantine period starts again each time, so they might never be retired. See ${local.alarms_page}#keys-postponed."
      namespace          = "ApiKeyRotation"
      metric_name        = "KeysPostponed"
      statistic          = "Maximum"
      period             = 3600
      treat_missing_data = "ignore"
    }

    replicas-failed = {
      description        = "A replica of a secret in another Region does not receive its value. Consumers there lose access when the superseded key is disabled. See ${local.alarms_page}#replicas-failed."
      namespace          = "ApiKeyRotation"
      metric_name        = "ReplicasFailed"
      statistic          = "Maximum"
      period             = 3600
      treat_missing_data = "ignore"
    }

    rotation-disabled = {
      description        = "Rotation is switched off for a secret that this function manages. Its key is not rotated on a schedule. See ${local.alarms_page}#rotation-disabled."
      namespace          = "ApiKeyRotation"
      metric_name        = "SecretsWithRotationOff"
      statistic          = "Maximum"
      period             = 3600
      treat_missing_data = "ignore"
    }

    doppler-targets-taken = {
      description        = "A Doppler target holds a value that is not from the secret and that the function did not write. The function does not overwrite it. See ${local.alarms_page}#doppler-targets-taken."
      namespace          = "ApiKeyRotation"
      metric_name        = "DopplerTargetsTaken"
      statistic          = "Maximum"
      period             = 3600
      treat_missing_data = "ignore"
    }

    reconciliation-incomplete = {
      description         = "Reconciliations could not do everything in at least three hours of the last 24. The issues in their reports and the warnings in the log say why. See ${local.alarms_page}#reconciliation-incomplete."
      namespace           = "ApiKeyRotation"
      metric_name         = "Failures"
      statistic           = "Sum"
      period              = 3600
      evaluation_periods  = 24
      datapoints_to_alarm = 3
      treat_missing_data  = "notBreaching"
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "alarm" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric_name
  dimensions          = lookup(each.value, "dimensions", { FunctionName = var.name })
  statistic           = each.value.statistic
  period              = each.value.period
  evaluation_periods  = lookup(each.value, "evaluation_periods", 1)
  datapoints_to_alarm = lookup(each.value, "datapoints_to_alarm", null)
  threshold           = lookup(each.value, "threshold", 1)
  comparison_operator = lookup(each.value, "comparison_operator", "GreaterThanOrEqualToThreshold")
  treat_missing_data  = each.value.treat_missing_data
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "current_key_too_old" {
  alarm_name          = "${var.name}-current-key-too-old"
  alarm_description   = "The current key is older than ${var.current_key_max_age_days} days. No rotation has succeeded in that time. See ${local.alarms_page}#current-key-too-old."
  evaluation_periods  = 1
  threshold           = tonumber(var.current_key_max_age_days)
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "ignore"
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = var.tags

  metric_query {
    id          = "days"
    label       = "Age of the current key in days"
    expression  = "age / 86400"
    return_data = true
  }

  metric_query {
    id          = "age"
    return_data = false

    metric {
      namespace   = "ApiKeyRotation"
      metric_name = "CurrentKeyAge"
      dimensions  = { FunctionName = var.name }
      stat        = "Maximum"
      period      = 3600
    }
  }
}
