output "secret_arn" {
  description = "ARN of the secret with the current key; null for a fleet. Pass it on, and never the value."
  value       = local.secret_arn
}

output "function_name" {
  description = "Name of the rotation function."
  value       = aws_lambda_function.rotation_function.function_name
}

output "function_arn" {
  description = "ARN of the rotation function."
  value       = aws_lambda_function.rotation_function.arn
}

output "role_arn" {
  description = "ARN of the function's role."
  value       = aws_iam_role.role.arn
}

output "doppler_subject" {
  description = "Subject claim of the identity in Doppler; null without one."
  value       = local.has_doppler_identity ? aws_iam_role.role.arn : null
}

output "doppler_audience" {
  description = "Audience claim of the identity in Doppler; null without one."
  value       = local.has_doppler_identity ? local.doppler_audience : null
}

output "doppler_issuer_command" {
  description = "Run this to print the discovery URL of the identity in Doppler, which is the issuer of this account."
  value       = local.has_doppler_identity ? "aws iam get-outbound-web-identity-federation-info --query IssuerIdentifier --output text" : null
}

output "log_group_name" {
  description = "Log group of the function."
  value       = aws_cloudwatch_log_group.log_group.name
}

output "dashboard_name" {
  description = "CloudWatch dashboard."
  value       = aws_cloudwatch_dashboard.dashboard.dashboard_name
}

# A key's name consists of the secret's name and the version that it was created for.
output "current_key_id_command" {
  description = "Run this to print the ID of the current key, without its value; null for a fleet. It prints nothing if another tool created the key or the secret was edited manually since."
  value = local.is_fleet ? null : join(" ", [
    "aws apigateway get-api-keys --region ${local.region} --query 'items[].id' --output text --name-query",
    "\"$(aws secretsmanager describe-secret --region ${local.region} --secret-id ${local.secret_arn} --query Name --output text)/$(aws",
    "secretsmanager list-secret-version-ids --region ${local.region} --secret-id ${local.secret_arn}",
    "--query \"Versions[?contains(VersionStages,'AWSCURRENT')].VersionId | [0]\" --output text)\"",
  ])
}
