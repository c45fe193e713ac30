output "secret_arn" {
  description = "ARN of the secret with the current key; null for a fleet. Pass it on, and never the value."
  value       = lookup(aws_cloudformation_stack.rotation.outputs, "SecretArn", null)
}

output "function_name" {
  description = "Name of the rotation function."
  value       = aws_cloudformation_stack.rotation.outputs["FunctionName"]
}

output "function_arn" {
  description = "ARN of the rotation function."
  value       = aws_cloudformation_stack.rotation.outputs["FunctionArn"]
}

output "role_arn" {
  description = "ARN of the function's role."
  value       = aws_cloudformation_stack.rotation.outputs["RoleArn"]
}

output "log_group_name" {
  description = "Log group of the function."
  value       = aws_cloudformation_stack.rotation.outputs["LogGroupName"]
}

output "dashboard_name" {
  description = "CloudWatch dashboard."
  value       = aws_cloudformation_stack.rotation.outputs["DashboardName"]
}
