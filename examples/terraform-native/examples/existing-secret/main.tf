# A key that Terraform created: docs/migrate.md#terraform says in which order. Nothing is rotated before you ask for it.

provider "aws" {
  region = "eu-west-1"
}

resource "aws_api_gateway_usage_plan" "partners" {
  name = "partners"
}

# Without a value: the version is no longer a resource.
resource "aws_secretsmanager_secret" "partner" {
  name = "shop/partner-api-key"
}

module "partner_api_key" {
  source = "../.."

  name    = "partner-api-key"
  release = "release"

  existing_secret_arn = aws_secretsmanager_secret.partner.arn
  usage_plan_ids      = aws_api_gateway_usage_plan.partners.id
  rotate_immediately  = "false"
}

# What held the value leaves the state, and stays in AWS.
removed {
  from = aws_secretsmanager_secret_version.partner
  lifecycle { destroy = false }
}

removed {
  from = aws_api_gateway_usage_plan_key.partner
  lifecycle { destroy = false }
}

removed {
  from = aws_api_gateway_api_key.partner
  lifecycle { destroy = false }
}
