# A new key: the module creates the secret, and the function creates the key.

provider "aws" {
  region = "eu-west-1"
}

# Its API and stage are left out here.
resource "aws_api_gateway_usage_plan" "partners" {
  name = "partners"
}

module "partner_api_key" {
  source = "../.."

  name    = "partner-api-key"
  release = "release"

  secret_name              = "shop/partner-api-key"
  usage_plan_ids           = aws_api_gateway_usage_plan.partners.id
  schedule_expression      = "rate(90 days)"
  current_key_max_age_days = "100"
}

# Consumers read the secret when they need the key.
output "secret_arn" {
  value = module.partner_api_key.secret_arn
}
