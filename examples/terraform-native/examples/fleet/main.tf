# Many keys: the function manages every secret that names it as its rotation function.

provider "aws" {
  region = "eu-west-1"
}

resource "aws_sns_topic" "on_call" {
  name = "on-call"
}

module "partner_api_keys" {
  source = "../.."

  name    = "partner-api-keys"
  release = "release"

  fleet           = "true"
  alarm_topic_arn = aws_sns_topic.on_call.arn
}

# The first values, each with the plans of its key, come from elsewhere.
resource "aws_secretsmanager_secret" "partner" {
  for_each = toset(["shop", "warehouse"])

  name = "partners/${each.key}"
}

# Secrets Manager checks at once whether it may call the function, so the permissions of the module come first.
resource "aws_secretsmanager_secret_rotation" "partner" {
  for_each = aws_secretsmanager_secret.partner

  secret_id           = each.value.arn
  rotation_lambda_arn = module.partner_api_keys.function_arn
  rotate_immediately  = false

  rotation_rules {
    schedule_expression = "rate(30 days)"
  }

  depends_on = [module.partner_api_keys]
}
