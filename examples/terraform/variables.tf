variable "name" {
  description = "Name of the stack and of the function, and the owner tag of every key. At most 48 characters, never changed later."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,47}$", var.name))
    error_message = "The name begins with a letter, and has at most 48 letters, digits and hyphens."
  }
}

variable "release" {
  description = "Folder with the files of a release: the zip for the architecture, the template and SHA256SUMS."
  type        = string
  nullable    = false
}

variable "bucket" {
  description = "Name of a bucket in the Region of the stack, to which the zip and the template are uploaded."
  type        = string
  nullable    = false
}

variable "architecture" {
  description = "Processor of the function. It must be the one that the binary was built for."
  type        = string
  default     = "x86_64"
  nullable    = false

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "The architecture is x86_64 or arm64."
  }
}

variable "tags" {
  description = "Tags of the stack, and of the secret that it creates."
  type        = map(string)
  default     = {}
  nullable    = false
}

# The parameters of template.yaml, in its order, as texts. CloudFormation checks their values when the stack is deployed.
# tests/iac/test_terraform.py holds names, defaults and descriptions equal to the template's.

variable "secret_name" {
  description = "Name of the secret to create, for instance shop/partner-api-key. It gets the tags of the stack (sam deploy --tags)."
  type        = string
  default     = ""
  nullable    = false
}

variable "secret_description" {
  description = "Description of the secret to create. Empty for a text that names the function."
  type        = string
  default     = ""
  nullable    = false
}

variable "existing_secret_arn" {
  description = "ARN of an existing secret. It must not have a rotation schedule. Leave SecretName empty."
  type        = string
  default     = ""
  nullable    = false
}

variable "kms_key_arn" {
  description = "ARN of the customer managed KMS key that encrypts the secret. Empty for the account's own key (aws/secretsmanager)."
  type        = string
  default     = ""
  nullable    = false
}

variable "fleet" {
  description = "Whether the function manages every secret whose rotation function it is, instead of one secret. You set the schedules of those secrets. Without FleetConfigSecretArns, a new key gets the plans of the key that it supersedes, and the fleet has no probe and no mirror."
  type        = string
  default     = "false"
  nullable    = false
}

variable "fleet_config_secret_arns" {
  description = "ARNs of the secrets with the documents of the fleet, separated by commas. They name its members, and the plans, probe, targets and periods of each. Empty for every secret with this rotation function."
  type        = string
  default     = ""
  nullable    = false
}

variable "fleet_config_kms_key_arn" {
  description = "ARN of the customer managed KMS key that encrypts the documents. Empty for the account's own key."
  type        = string
  default     = ""
  nullable    = false
}

variable "fleet_default" {
  description = "What applies to a secret with this rotation function that no document names. It is refused, or it is managed with the plans of its current key, without a probe and without a mirror."
  type        = string
  default     = "refuse"
  nullable    = false
}

variable "fleet_usage_plan_ids" {
  description = "IDs of the usage plans that documents may name, separated by commas. The role may attach keys to these only. Empty for every plan of the account and Region."
  type        = string
  default     = ""
  nullable    = false
}

variable "doppler_allowed" {
  description = "Doppler configs that documents may name, as project/config separated by commas. * stands for one or more characters other than / and . in them. Required if a member has targets."
  type        = string
  default     = ""
  nullable    = false
}

variable "probe_allowed" {
  description = "Hosts that documents may name in a probe, separated by commas. * stands for one or more characters other than / and . in them. Required if a member has a probe. Allow only hosts of your own, because a probe sends a new key. So * may not stand before .execute-api, nor in two labels in a row."
  type        = string
  default     = ""
  nullable    = false
}

variable "schedule_expression" {
  description = "When to rotate, as rate(...) of 4 hours to 999 days or cron(0 hour day month weekday *), in UTC. The hour may have a step, as in 2/12, but rotations must begin at least 4 hours apart. Empty for no schedule. Then rotate with aws secretsmanager rotate-secret, --rotation-lambda-arn and --rotation-rules."
  type        = string
  default     = "rate(30 days)"
  nullable    = false
}

variable "schedule_duration" {
  description = "Length of the window in which a scheduled rotation begins, for instance 3h. It must end before midnight UTC (with cron(0 20 ...) at most 4h) and must not be longer than the interval. Empty for the rest of the day (of the hour, for a schedule in hours)."
  type        = string
  default     = ""
  nullable    = false
}

variable "rotate_immediately" {
  description = "Whether to rotate when the schedule is created or changed. With false, Secrets Manager only runs the testSecret step, which changes nothing. Set it to false after the first rotation if a changed schedule should not rotate."
  type        = string
  default     = "true"
  nullable    = false
}

variable "usage_plan_ids" {
  description = "IDs of the usage plans of a new key, separated by commas. Empty for the plans of the current key."
  type        = string
  default     = ""
  nullable    = false
}

variable "stage_keys" {
  description = "Stages that accept a new key without a usage plan (older APIs), as restApiId/stageName, separated by commas."
  type        = string
  default     = ""
  nullable    = false
}

variable "allow_key_without_plan" {
  description = "Whether a key without a usage plan and stage key may become current. Set it only if something other than API Gateway, such as a Lambda authorizer, compares keys: API Gateway itself rejects such a key."
  type        = string
  default     = "false"
  nullable    = false
}

variable "probe_url" {
  description = "URL behind the usage plan that the function calls with a new key before consumers get it. Empty for no call."
  type        = string
  default     = ""
  nullable    = false
}

variable "propagation_delay" {
  description = "Minimum age of a new key before consumers get it, if no ProbeUrl verifies that it works."
  type        = string
  default     = "2m"
  nullable    = false
}

variable "grace_period" {
  description = "How long a superseded key stays enabled. It must be longer than any consumer caches the secret."
  type        = string
  default     = "24h"
  nullable    = false
}

variable "hold_while_used" {
  description = "How much longer a superseded key stays enabled at most while API Gateway counts requests with it. Then it is disabled even if it is used. 0s to not look at its use."
  type        = string
  default     = "7d"
  nullable    = false
}

variable "quarantine_period" {
  description = "How long a superseded key then stays disabled before it is deleted. In this time, it can be enabled again."
  type        = string
  default     = "7d"
  nullable    = false
}

variable "reconcile_schedule" {
  description = "How often to retire superseded keys and repair drift. At least every 4 hours, which the alarms require."
  type        = string
  default     = "rate(1 hour)"
  nullable    = false
}

variable "doppler_targets" {
  description = "Doppler secrets that the key is mirrored to, as project/config/NAME or project/environment/config/NAME, separated by commas. Empty for no mirror. Lambda accepts at most 4 KB for all settings together."
  type        = string
  default     = ""
  nullable    = false
}

variable "doppler_adopt_targets" {
  description = "Targets, spelled as in DopplerTargets, whose first write may overwrite a value that is not from this secret. Empty to never overwrite such a value."
  type        = string
  default     = ""
  nullable    = false
}

variable "doppler_identity" {
  description = "ID of the identity of a Doppler service account. The function then logs in to Doppler with its role, and no token is stored. It needs outbound identity federation, which aws iam enable-outbound-web-identity-federation enables for the account."
  type        = string
  default     = ""
  nullable    = false
}

variable "doppler_audience" {
  description = "Audience that the identity requires. Empty for doppler/ and the ID of the identity, which no other identity has."
  type        = string
  default     = ""
  nullable    = false
}

variable "doppler_token_secret_arn" {
  description = "ARN of the secret with a Doppler token, required for a mirror without DopplerIdentity. It must not be the secret that is rotated."
  type        = string
  default     = ""
  nullable    = false
}

variable "doppler_token_kms_key_arn" {
  description = "ARN of the customer managed KMS key that encrypts the secret with the token. Empty for the account's own key."
  type        = string
  default     = ""
  nullable    = false
}

variable "doppler_api_url" {
  description = "Base URL of the Doppler API."
  type        = string
  default     = "https://api.doppler.com"
  nullable    = false
}

variable "doppler_create_missing" {
  description = "Whether to create a missing project, environment or config of DopplerTargets in Doppler. The token must then belong to a service account with permission to do so."
  type        = string
  default     = "false"
  nullable    = false
}

variable "event_bus_name" {
  description = "Name of an event bus of this account and Region to which notices about keys are sent, for instance default. Empty for no notices."
  type        = string
  default     = ""
  nullable    = false
}

variable "notice_topic_arn" {
  description = "ARN of the SNS topic that receives the notices as sentences, for the owners of keys. Its policy must allow that. Empty for none."
  type        = string
  default     = ""
  nullable    = false
}

variable "alarm_topic_arn" {
  description = "ARN of the SNS topic that receives alarm notifications. Empty for no notifications."
  type        = string
  default     = ""
  nullable    = false
}

variable "current_key_max_age_days" {
  description = "Age in days above which the current key raises an alarm. It must be longer than the schedule's interval plus its window."
  type        = string
  default     = "35"
  nullable    = false
}

variable "documentation_url" {
  description = "Location of this project's documentation, as an https URL or a relative path. Alarms and errors link to its pages."
  type        = string
  default     = "docs"
  nullable    = false
}

variable "role_name" {
  description = "Name of the function's role. Empty for a generated one. With DopplerIdentity, choose a name, because the identity names the role's ARN as its subject. Begin it with the stack's name and -Role-, which policies in the documentation match."
  type        = string
  default     = ""
  nullable    = false
}

variable "log_level" {
  description = "Lowest level of the function's own log lines to keep."
  type        = string
  default     = "INFO"
  nullable    = false
}

variable "log_retention_days" {
  description = "Days after which log lines are deleted."
  type        = string
  default     = "90"
  nullable    = false
}

variable "reserved_concurrency" {
  description = "Concurrency that is reserved for the function and is its limit, at least 2. Empty for a share of the account's."
  type        = string
  default     = ""
  nullable    = false
}

variable "code_signing_config_arn" {
  description = "ARN of a code signing configuration, which decides whose code the function may have. Sign with sam deploy --signing-profiles."
  type        = string
  default     = ""
  nullable    = false
}

variable "subnet_ids" {
  description = "IDs of private subnets of a VPC that the function's traffic goes through, separated by commas. They need a route or an endpoint to each service. Empty for Lambda's own network."
  type        = string
  default     = ""
  nullable    = false
}

variable "security_group_ids" {
  description = "IDs of the security groups of the function in that VPC, separated by commas. It only connects to other hosts, by TCP port 443."
  type        = string
  default     = ""
  nullable    = false
}

variable "https_proxy" {
  description = "URL of the proxy through which the function calls AWS, Doppler and ProbeUrl. Empty for none."
  type        = string
  default     = ""
  nullable    = false
}

variable "no_proxy" {
  description = "Hosts that are called without the proxy, separated by commas, for instance the Region's hosts with VPC endpoints."
  type        = string
  default     = ""
  nullable    = false
}

variable "use_fips_endpoint" {
  description = "Whether to call AWS at its FIPS endpoints. Not every Region has them."
  type        = string
  default     = "false"
  nullable    = false
}

variable "use_dual_stack_endpoint" {
  description = "Whether to call AWS at its dual-stack endpoints. The subnets of SubnetIds must then have IPv6 addresses."
  type        = string
  default     = "false"
  nullable    = false
}

variable "permissions_boundary_arn" {
  description = "ARN of the policy that is the permissions boundary of the role. It must allow what docs/networks.md lists."
  type        = string
  default     = ""
  nullable    = false
}

variable "role_path" {
  description = "Path of the role, for instance /rotation/. A change replaces the role, whose ARN then differs. Empty for none."
  type        = string
  default     = ""
  nullable    = false
}

variable "wider_tag_permission" {
  description = "Whether the function may PUT any tag of API Gateway, not only those of API keys. Set it only if CreateApiKey is denied apigateway:PUT on a resource that is not in the policy."
  type        = string
  default     = "false"
  nullable    = false
}

variable "wider_key_permission" {
  description = "Whether IAM allows the function to PATCH and DELETE API keys without its tag, which it never does. Set it only if UpdateApiKey of one of its own keys is denied."
  type        = string
  default     = "false"
  nullable    = false
}
