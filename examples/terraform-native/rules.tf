# The rules of the template, which concern more than one variable. variables.tf has those of each.

locals {
  # Lengths of a window that fit intervals of 4 to 23 hours. Such a window is not longer than the interval, and shorter if
  # the interval does not divide the day: it moves through the day, and may not extend into the next one.
  interval = try(tonumber(one(regex("^rate\\(([0-9]+) hours\\)$", var.schedule_expression))), 24)
  window   = var.schedule_duration != "" ? tonumber(trimsuffix(var.schedule_duration, "h")) : 0
  longest_window = (
    local.interval <= 5 ? 4 :
    local.interval <= 7 ? 6 :
    local.interval <= 11 ? 8 :
    local.interval <= 23 ? 12 : 24
  )
}

# It is nothing in AWS.
resource "terraform_data" "rules" {
  lifecycle {
    precondition {
      condition     = length([for way in [var.secret_name != "", local.has_existing_secret, local.is_fleet] : way if way]) == 1
      error_message = "Set exactly one of secret_name for a new secret, existing_secret_arn for an existing one, and fleet = \"true\"."
    }

    precondition {
      condition = !local.is_fleet || (
        !local.has_usage_plan_ids && var.stage_keys == "" && var.probe_url == "" && var.doppler_targets == ""
      )
      error_message = "With a fleet, leave usage_plan_ids, stage_keys, probe_url and doppler_targets empty; they apply to one secret. fleet_config_secret_arns has them for each."
    }

    precondition {
      condition     = !local.is_fleet || var.doppler_adopt_targets == "" || local.has_fleet_config
      error_message = "With a fleet, doppler_adopt_targets requires fleet_config_secret_arns, the documents with the targets."
    }

    precondition {
      condition     = !local.has_fleet_config || local.is_fleet
      error_message = "fleet_config_secret_arns requires fleet = \"true\"."
    }

    precondition {
      condition     = !local.has_fleet_config || (var.doppler_token_secret_arn == "" && var.doppler_identity == "") || var.doppler_allowed != ""
      error_message = "With fleet_config_secret_arns and a Doppler token or identity, set doppler_allowed, the configs that documents may name."
    }

    precondition {
      condition     = !local.has_fleet_config || var.doppler_token_secret_arn != var.fleet_config_secret_arns
      error_message = "doppler_token_secret_arn is a document of the fleet; store the token in a separate secret."
    }

    precondition {
      condition = local.has_fleet_config || (
        var.fleet_config_kms_key_arn == "" && var.fleet_usage_plan_ids == "" && var.doppler_allowed == "" &&
        var.probe_allowed == "" && var.fleet_default == "refuse"
      )
      error_message = "fleet_config_kms_key_arn, fleet_usage_plan_ids, doppler_allowed, probe_allowed and fleet_default = \"inherit\" require fleet_config_secret_arns."
    }

    precondition {
      condition = (
        var.secret_name == "" || local.has_usage_plan_ids || var.stage_keys != "" || var.allow_key_without_plan == "true"
      )
      error_message = "A new secret has no key whose plans could be inherited. Set usage_plan_ids (or stage_keys), or no API accepts its key. For keys that only an authorizer compares, set allow_key_without_plan = \"true\"."
    }

    precondition {
      condition     = var.doppler_targets == "" || var.doppler_identity != "" || var.doppler_token_secret_arn != ""
      error_message = "doppler_targets requires doppler_identity, the identity of a service account that may write there, or doppler_token_secret_arn, the secret with such a token."
    }

    precondition {
      condition     = var.doppler_identity == "" || var.doppler_token_secret_arn == ""
      error_message = "Set doppler_identity or doppler_token_secret_arn, and not both."
    }

    precondition {
      condition     = var.doppler_audience == "" || var.doppler_identity != ""
      error_message = "doppler_audience has no effect without doppler_identity."
    }

    precondition {
      condition     = !local.has_existing_secret || var.doppler_token_secret_arn != var.existing_secret_arn
      error_message = "doppler_token_secret_arn is the secret that is rotated; store the token in a separate secret."
    }

    precondition {
      condition     = var.notice_topic_arn == "" || local.has_event_bus
      error_message = "notice_topic_arn requires event_bus_name, the event bus from which the topic gets the notices, for instance default."
    }

    precondition {
      condition     = var.sends_notices_to_topic == null || var.sends_notices_to_topic == (var.notice_topic_arn != "")
      error_message = "sends_notices_to_topic says whether notice_topic_arn is set; set both, or leave sends_notices_to_topic null."
    }

    precondition {
      condition     = local.has_subnets == (var.security_group_ids != "")
      error_message = "subnet_ids and security_group_ids belong together; set both or none."
    }

    precondition {
      condition     = var.no_proxy == "" || local.has_https_proxy
      error_message = "no_proxy requires https_proxy, the proxy that is not used for these hosts."
    }

    precondition {
      condition     = local.window <= local.longest_window
      error_message = "With ${var.schedule_expression} schedule_duration is at most ${local.longest_window}h."
    }
  }
}
