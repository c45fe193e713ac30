# A new key: the stack creates the secret, and the function creates the key.

provider "aws" {
  region = "eu-west-1"
}

resource "aws_s3_bucket" "releases" {
  bucket_prefix = "releases-"
}

# Its API and stage are left out here.
resource "aws_api_gateway_usage_plan" "partners" {
  name = "partners"
}

module "partner_api_key" {
  source = "../.."

  name    = "partner-api-key"
  release = "release"
  bucket  = aws_s3_bucket.releases.bucket

  secret_name              = "shop/partner-api-key"
  usage_plan_ids           = aws_api_gateway_usage_plan.partners.id
  schedule_expression      = "rate(90 days)"
  current_key_max_age_days = "100"
}

# Consumers read the secret when they need the key.
output "secret_arn" {
  value = module.partner_api_key.secret_arn
}
