# Queries for CloudWatch Logs Insights. They use the fields of the function's log lines; Lambda's own lines have others.
locals {
  queries = {
    errors = <<-EOT
      fields @timestamp, level, span.step, span.secret, error_type, message, help
      | filter level in ["ERROR", "WARN"]
      | sort @timestamp desc
      | limit 100
    EOT

    changes = <<-EOT
      fields @timestamp, span.step, span.secret, message, action, key_id, usage_plan_id, doppler_target, version
      | filter level = "INFO" and ispresent(action) and action != "Probe" and action != "DescribeSecret"
      | sort @timestamp desc
      | limit 1000
    EOT

    one-key = <<-EOT
      # Replace a1b2c3d4e5 with the ID of the API key, twice.
      fields @timestamp, level, span.step, span.secret, action, message
      | filter key_id = "a1b2c3d4e5" or message like "a1b2c3d4e5"
      | sort @timestamp asc
      | limit 1000
    EOT

    secrets-behind-alarms = <<-EOT
      fields @timestamp, Names
      | filter ispresent(Names)
      | sort @timestamp desc
      | limit 100
    EOT

    rotations = <<-EOT
      fields @timestamp, span.step, span.secret, span.version, outcome, error_type, message
      | filter ispresent(outcome) or level = "ERROR"
      | filter span.step like "Secret"
      | sort @timestamp desc
      | limit 1000
    EOT
  }
}

resource "aws_cloudwatch_query_definition" "query" {
  for_each = local.queries

  name            = "${var.name}/${each.key}"
  log_group_names = [aws_cloudwatch_log_group.log_group.name]
  query_string    = each.value
}

locals {
  # In the order in which the dashboard shows them.
  alarms_shown = [
    "function-errors", "function-throttled", "near-timeout", "rotation-failed", "current-key-too-old",
    "reconciliation-missing", "no-working-key", "drift-repaired", "keys-overdue", "superseded-key-still-used",
    "keys-disabled-manually", "keys-postponed", "replicas-failed", "rotation-disabled", "doppler-targets-taken",
    "reconciliation-incomplete",
  ]
  alarm_arns = merge(
    { for name, alarm in aws_cloudwatch_metric_alarm.alarm : name => alarm.arn },
    { current-key-too-old = aws_cloudwatch_metric_alarm.current_key_too_old.arn },
  )
}

resource "aws_cloudwatch_dashboard" "dashboard" {
  dashboard_name = var.name

  dashboard_body = jsonencode({
    widgets = [
      {
        type   = "alarm"
        x      = 0
        y      = 0
        width  = 24
        height = 3
        properties = {
          title  = "Alarms"
          alarms = [for name in local.alarms_shown : local.alarm_arns[name]]
        }
      },
      {
        type   = "metric"
        x      = 0
        y      = 3
        width  = 8
        height = 6
        properties = {
          title  = "Keys"
          region = local.region
          view   = "timeSeries"
          stat   = "Maximum"
          period = 3600
          metrics = [
            ["ApiKeyRotation", "KeysInUse", "FunctionName", var.name],
            [".", "KeysSuperseded", ".", "."],
            [".", "KeysQuarantined", ".", "."],
            [".", "KeysDisabledManually", ".", "."],
            [".", "KeysOverdue", ".", "."],
            [".", "KeysStillUsed", ".", "."],
            [".", "KeysPostponed", ".", "."],
            [".", "SecretsWithoutWorkingKey", ".", "."],
            [".", "SecretsWithRotationOff", ".", "."],
            [".", "ReplicasFailed", ".", "."],
            [".", "DopplerTargetsTaken", ".", "."],
          ]
        }
      },
      {
        type   = "metric"
        x      = 8
        y      = 3
        width  = 8
        height = 6
        properties = {
          title  = "Age of the current key in days"
          region = local.region
          view   = "timeSeries"
          stat   = "Maximum"
          period = 3600
          metrics = [
            [{ expression = "age / 86400", label = "days", id = "days" }],
            ["ApiKeyRotation", "CurrentKeyAge", "FunctionName", var.name, { id = "age", visible = false }],
          ]
          annotations = { horizontal = [{ label = "too old", value = tonumber(var.current_key_max_age_days) }] }
        }
      },
      {
        type   = "metric"
        x      = 16
        y      = 3
        width  = 8
        height = 6
        properties = {
          title  = "Reconciliations"
          region = local.region
          view   = "timeSeries"
          stat   = "Sum"
          period = 3600
          metrics = [
            ["ApiKeyRotation", "DriftRepaired", "FunctionName", var.name],
            [".", "KeysDisabled", ".", "."],
            [".", "KeysDeleted", ".", "."],
            [".", "Failures", ".", "."],
            [".", "SecretsNotProcessed", ".", "."],
          ]
        }
      },
      {
        type   = "metric"
        x      = 0
        y      = 9
        width  = 8
        height = 6
        properties = {
          title  = "Invocations"
          region = local.region
          view   = "timeSeries"
          stat   = "Sum"
          period = 300
          metrics = [
            ["AWS/Lambda", "Invocations", "FunctionName", var.name],
            [".", "Errors", ".", "."],
            [".", "Throttles", ".", "."],
            ["AWS/Events", "TriggeredRules", "RuleName", "${var.name}-rotation-failed", { label = "Rotations failed" }],
          ]
        }
      },
      {
        type   = "metric"
        x      = 8
        y      = 9
        width  = 8
        height = 6
        properties = {
          title   = "Duration in ms, of 300,000"
          region  = local.region
          view    = "timeSeries"
          stat    = "Maximum"
          period  = 300
          metrics = [["AWS/Lambda", "Duration", "FunctionName", var.name]]
        }
      },
      {
        type   = "log"
        x      = 16
        y      = 9
        width  = 8
        height = 6
        properties = {
          title  = "Errors and warnings"
          region = local.region
          view   = "table"
          query  = "SOURCE '/aws/lambda/${var.name}' | filter level in ['ERROR', 'WARN'] | sort @timestamp desc | limit 50 | display @timestamp, @message"
        }
      },
    ]
  })
}
