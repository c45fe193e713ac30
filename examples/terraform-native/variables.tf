# The parameters of the template, in snake case. What it accepts, a validation accepts. RE2, which Terraform uses, has no
# lookahead and no count above 1000, so that some conditions have more parts than the pattern of the template.

variable "name" {
  description = "Name of the function and of what belongs to it, and the owner tag of every key. At most 48 characters, never changed later."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,47}$", var.name))
    error_message = "The name begins with a letter, and has at most 48 letters, digits and hyphens."
  }
}

variable "release" {
  description = "Folder with the files of a release: the zip for the architecture, and SHA256SUMS."
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
  description = "Tags of every resource that can have tags."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "secret_name" {
  description = "Name of the secret to create, for instance shop/partner-api-key. It gets the tags of the stack (sam deploy --tags)."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9/_+=.@-]{0,512}$", var.secret_name))
    error_message = "Expected: up to 512 letters, digits and the characters /_+=.@-."
  }
}

variable "secret_description" {
  description = "Description of the secret to create. Empty for a text that names the function."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = length(var.secret_description) <= 2048 && !can(regex("[\\n\\r]", var.secret_description))
    error_message = "Expected: up to 2048 characters."
  }
}

variable "existing_secret_arn" {
  description = "ARN of an existing secret. It must not have a rotation schedule. Leave SecretName empty."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]{1,512}-[A-Za-z0-9]{6})?$", var.existing_secret_arn))
    error_message = "Expected: the whole ARN, with the six characters at its end that Secrets Manager added to the name."
  }
}

variable "kms_key_arn" {
  description = "ARN of the customer managed KMS key that encrypts the secret. Empty for the account's own key (aws/secretsmanager)."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)?$", var.kms_key_arn))
    error_message = "Expected: the ARN of the key and not of an alias, as in arn:aws:kms:eu-west-1:123456789012:key/...."
  }
}

variable "fleet" {
  description = "Whether the function manages every secret whose rotation function it is, instead of one secret. You set the schedules of those secrets. Without FleetConfigSecretArns, a new key gets the plans of the key that it supersedes, and the fleet has no probe and no mirror."
  type        = string
  default     = "false"
  nullable    = false

  validation {
    condition     = contains(["true", "false"], var.fleet)
    error_message = "Expected: true or false."
  }
}

variable "fleet_config_secret_arns" {
  description = "ARNs of the secrets with the documents of the fleet, separated by commas. They name its members, and the plans, probe, targets and periods of each. Empty for every secret with this rotation function."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(arn:aws[a-z-]{0,20}:secretsmanager:[a-z0-9-]{1,30}:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]{1,60}-[A-Za-z0-9]{6}(,arn:aws[a-z-]{0,20}:secretsmanager:[a-z0-9-]{1,30}:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]{1,60}-[A-Za-z0-9]{6}){0,9})?$", var.fleet_config_secret_arns))
    error_message = "Expected: at most 10 whole ARNs separated by commas without spaces, each with a name of at most 60 characters and the six that Secrets Manager added."
  }
}

variable "fleet_config_kms_key_arn" {
  description = "ARN of the customer managed KMS key that encrypts the documents. Empty for the account's own key."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)?$", var.fleet_config_kms_key_arn))
    error_message = "Expected: the ARN of the key and not of an alias, as in arn:aws:kms:eu-west-1:123456789012:key/...."
  }
}

variable "fleet_default" {
  description = "What applies to a secret with this rotation function that no document names. It is refused, or it is managed with the plans of its current key, without a probe and without a mirror."
  type        = string
  default     = "refuse"
  nullable    = false

  validation {
    condition     = contains(["refuse", "inherit"], var.fleet_default)
    error_message = "Expected: refuse or inherit."
  }
}

variable "fleet_usage_plan_ids" {
  description = "IDs of the usage plans that documents may name, separated by commas. The role may attach keys to these only. Empty for every plan of the account and Region."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^([A-Za-z0-9]{1,64}(,[A-Za-z0-9]{1,64}){0,9})?$", var.fleet_usage_plan_ids))
    error_message = "Expected: at most 10 usage plan IDs (letters and digits, at most 64) separated by commas without spaces, for instance a1b2c3,d4e5f6."
  }
}

variable "doppler_allowed" {
  description = "Doppler configs that documents may name, as project/config separated by commas. * stands for one or more characters other than / and . in them. Required if a member has targets."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^([A-Za-z0-9_*-]+/[A-Za-z0-9_*-]+(,[A-Za-z0-9_*-]+/[A-Za-z0-9_*-]+){0,49})?$", var.doppler_allowed))
    error_message = "Expected: at most 50 separated by commas without spaces, for instance shop/prd,partner-*/prd."
  }
}

variable "probe_allowed" {
  description = "Hosts that documents may name in a probe, separated by commas. * stands for one or more characters other than / and . in them. Required if a member has a probe. Allow only hosts of your own, because a probe sends a new key. So * may not stand before .execute-api, nor in two labels in a row."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition = (
      can(regex("^([A-Za-z0-9_*-]+(\\.[A-Za-z0-9_*-]+){0,20}(,[A-Za-z0-9_*-]+(\\.[A-Za-z0-9_*-]+){0,20}){0,49})?$", var.probe_allowed)) &&
      !can(regex("[*][A-Za-z0-9_-]*\\.([A-Za-z0-9_-]*[*]|execute-api([.,]|$))", var.probe_allowed))
    )
    error_message = "Expected: at most 50 separated by commas without spaces, for instance api.example.com,*.example.com. An API of API Gateway needs its own host, as in a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com."
  }
}

variable "schedule_expression" {
  description = "When to rotate, as rate(...) of 4 hours to 999 days or cron(0 hour day month weekday *), in UTC. The hour may have a step, as in 2/12, but rotations must begin at least 4 hours apart. Empty for no schedule. Then rotate with aws secretsmanager rotate-secret, --rotation-lambda-arn and --rotation-rules."
  type        = string
  default     = "rate(30 days)"
  nullable    = false

  validation {
    condition     = can(regex("^(rate\\((1 day|([2-9]|[1-9][0-9]{1,2}) days|([4-9]|[1-9][0-9]{1,2}) hours)\\)|cron\\(0 (([01]?[0-9]|2[0-3])|([01]?[0-9]|2[0-3])?/([4-689]|1[02-9]|20)) ([0-9A-Z*,/-]+ [0-9A-Z*,/-]+ \\?|\\? [0-9A-Z*,/-]+ [0-9A-Z*,/#-]+) \\*\\))?$", var.schedule_expression))
    error_message = "Expected: for instance rate(30 days), rate(12 hours) or cron(0 3 1 * ? *); minute 0, one hour or an hour with a step of at least 4 that leaves 4 hours at midnight too (not 7, 11, 21, 22, 23), a ? for either day or weekday, year *."
  }
}

variable "schedule_duration" {
  description = "Length of the window in which a scheduled rotation begins, for instance 3h. It must end before midnight UTC (with cron(0 20 ...) at most 4h) and must not be longer than the interval. Empty for the rest of the day (of the hour, for a schedule in hours)."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(([1-9]|1[0-9]|2[0-4])h)?$", var.schedule_duration))
    error_message = "Expected: 1 to 24 hours and h, for instance 3h."
  }
}

variable "rotate_immediately" {
  description = "Whether to rotate when the schedule is created or changed. With false, Secrets Manager only runs the testSecret step, which changes nothing. Set it to false after the first rotation if a changed schedule should not rotate."
  type        = string
  default     = "true"
  nullable    = false

  validation {
    condition     = contains(["true", "false"], var.rotate_immediately)
    error_message = "Expected: true or false."
  }
}

variable "usage_plan_ids" {
  description = "IDs of the usage plans of a new key, separated by commas. Empty for the plans of the current key."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^([A-Za-z0-9]{1,64}(,[A-Za-z0-9]{1,64}){0,9})?$", var.usage_plan_ids))
    error_message = "Expected: at most 10 usage plan IDs (letters and digits, at most 64) separated by commas without spaces, for instance a1b2c3,d4e5f6."
  }
}

variable "stage_keys" {
  description = "Stages that accept a new key without a usage plan (older APIs), as restApiId/stageName, separated by commas."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^([A-Za-z0-9]+/[A-Za-z0-9_-]+(,[A-Za-z0-9]+/[A-Za-z0-9_-]+){0,9})?$", var.stage_keys))
    error_message = "Expected: at most 10 pairs separated by commas without spaces, for instance a1b2c3d4e5/prod."
  }
}

variable "allow_key_without_plan" {
  description = "Whether a key without a usage plan and stage key may become current. Set it only if something other than API Gateway, such as a Lambda authorizer, compares keys: API Gateway itself rejects such a key."
  type        = string
  default     = "false"
  nullable    = false

  validation {
    condition     = contains(["true", "false"], var.allow_key_without_plan)
    error_message = "Expected: true or false."
  }
}

variable "probe_url" {
  description = "URL behind the usage plan that the function calls with a new key before consumers get it. Empty for no call."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition = (
      var.probe_url == "" || (
        can(regex("^https://([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\\.){0,10}([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\\.){0,10}[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?([/?][!-~]{0,1000}[!-~]{0,1000})?$", var.probe_url)) &&
        !can(regex("^https://([^/?]*[.])?[Xx][Nn]--", var.probe_url))
      )
    )
    error_message = "Expected: an https URL with a host's name (no address, no user, no xn--) and only ASCII characters, for instance https://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/prod/health."
  }
}

variable "propagation_delay" {
  description = "Minimum age of a new key before consumers get it, if no ProbeUrl verifies that it works."
  type        = string
  default     = "2m"
  nullable    = false

  validation {
    condition     = can(regex("^([0-4]m( ?[0-5]?[0-9]s)?|([0-9]{1,2}|[12][0-9]{2})s)$", var.propagation_delay))
    error_message = "Expected: a number and s or m, for instance 2m or 1m 30s; less than the function's timeout of 5 minutes."
  }
}

variable "grace_period" {
  description = "How long a superseded key stays enabled. It must be longer than any consumer caches the secret."
  type        = string
  default     = "24h"
  nullable    = false

  validation {
    condition     = can(regex("^(([0-9]{1,2}|[12][0-9]{2}|3[0-5][0-9]|36[0-5])d( ?([01]?[0-9]|2[0-3])h)?( ?[0-5]?[0-9]m)?( ?[0-5]?[0-9]s)?|([0-9]{1,3}|[1-7][0-9]{3}|8[0-6][0-9]{2}|87[0-5][0-9]|8760)h( ?[0-5]?[0-9]m)?( ?[0-5]?[0-9]s)?|[0-9]{1,5}m( ?[0-5]?[0-9]s)?|[0-9]{1,7}s)$", var.grace_period))
    error_message = "Expected: numbers with d, h, m and s, in that order, for instance 24h or 1d 12h; at most 365 days."
  }
}

variable "hold_while_used" {
  description = "How much longer a superseded key stays enabled at most while API Gateway counts requests with it. Then it is disabled even if it is used. 0s to not look at its use."
  type        = string
  default     = "7d"
  nullable    = false

  validation {
    condition     = can(regex("^(([0-9]{1,2}|[12][0-9]{2}|3[0-5][0-9]|36[0-5])d( ?([01]?[0-9]|2[0-3])h)?( ?[0-5]?[0-9]m)?( ?[0-5]?[0-9]s)?|([0-9]{1,3}|[1-7][0-9]{3}|8[0-6][0-9]{2}|87[0-5][0-9]|8760)h( ?[0-5]?[0-9]m)?( ?[0-5]?[0-9]s)?|[0-9]{1,5}m( ?[0-5]?[0-9]s)?|[0-9]{1,7}s)$", var.hold_while_used))
    error_message = "Expected: numbers with d, h, m and s, in that order, for instance 7d or 1d 12h; at most 365 days; 0s for none."
  }
}

variable "quarantine_period" {
  description = "How long a superseded key then stays disabled before it is deleted. In this time, it can be enabled again."
  type        = string
  default     = "7d"
  nullable    = false

  validation {
    condition     = can(regex("^(([0-9]{1,2}|[12][0-9]{2}|3[0-5][0-9]|36[0-5])d( ?([01]?[0-9]|2[0-3])h)?( ?[0-5]?[0-9]m)?( ?[0-5]?[0-9]s)?|([0-9]{1,3}|[1-7][0-9]{3}|8[0-6][0-9]{2}|87[0-5][0-9]|8760)h( ?[0-5]?[0-9]m)?( ?[0-5]?[0-9]s)?|[0-9]{1,5}m( ?[0-5]?[0-9]s)?|[0-9]{1,7}s)$", var.quarantine_period))
    error_message = "Expected: numbers with d, h, m and s, in that order, for instance 7d or 1d 12h; at most 365 days."
  }
}

variable "reconcile_schedule" {
  description = "How often to retire superseded keys and repair drift. At least every 4 hours, which the alarms require."
  type        = string
  default     = "rate(1 hour)"
  nullable    = false

  validation {
    condition     = can(regex("^(rate\\((1 (minute|hour)|([2-9]|[1-9][0-9]|1[0-9][0-9]|2[0-3][0-9]|240) minutes|[2-4] hours)\\)|cron\\([0-9*,/-]+ (\\*|[*0-3]/[1-4]) (\\* \\* \\?|\\? \\* \\*) \\*\\))$", var.reconcile_schedule))
    error_message = "Expected: for instance rate(1 hour) or cron(0/30 * * * ? *), at least every 4 hours of every day."
  }
}

variable "doppler_targets" {
  description = "Doppler secrets that the key is mirrored to, as project/config/NAME or project/environment/config/NAME, separated by commas. Empty for no mirror. Lambda accepts at most 4 KB for all settings together."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition = (
      var.doppler_targets == "" || (
        length(split(",", var.doppler_targets)) <= 50 &&
        alltrue([for target in split(",", var.doppler_targets) : can(regex("^([A-Za-z0-9_-]{1,200}/){2,3}[A-Z][A-Z0-9_]{0,199}$", target))]) &&
        !can(regex("/((PATH|HOME|PS1)|(LD_|DOPPLER_)[A-Z0-9_]*)(,|$)", var.doppler_targets))
      )
    )
    error_message = "Expected: at most 50, for instance shop/prd/PARTNER_API_KEY, separated by commas without spaces. A name has at most 200 capitals, digits and underscores, starts with a capital, and is not PATH, HOME, PS1, LD_... or DOPPLER_...."
  }
}

variable "doppler_adopt_targets" {
  description = "Targets, spelled as in DopplerTargets, whose first write may overwrite a value that is not from this secret. Empty to never overwrite such a value."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition = (
      var.doppler_adopt_targets == "" || (
        length(split(",", var.doppler_adopt_targets)) <= 50 &&
        alltrue([for target in split(",", var.doppler_adopt_targets) : can(regex("^([A-Za-z0-9_-]{1,200}/){2,3}[A-Z][A-Z0-9_]{0,199}$", target))]) &&
        !can(regex("/((PATH|HOME|PS1)|(LD_|DOPPLER_)[A-Z0-9_]*)(,|$)", var.doppler_adopt_targets))
      )
    )
    error_message = "Expected: at most 50, for instance shop/prd/PARTNER_API_KEY, separated by commas without spaces. A name has at most 200 capitals, digits and underscores, starts with a capital, and is not PATH, HOME, PS1, LD_... or DOPPLER_...."
  }
}

variable "doppler_identity" {
  description = "ID of the identity of a Doppler service account. The function then logs in to Doppler with its role, and no token is stored. It needs outbound identity federation, which aws iam enable-outbound-web-identity-federation enables for the account."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})?$", var.doppler_identity))
    error_message = "Expected: a UUID in lower case, for instance 0b1f0a6e-58c5-4b1c-9f0e-2d1a7c3e9b44."
  }
}

variable "doppler_audience" {
  description = "Audience that the identity requires. Empty for doppler/ and the ID of the identity, which no other identity has."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9/:._@+=-]{0,256}$", var.doppler_audience))
    error_message = "Expected: up to 256 letters, digits and the characters /:._@+=-."
  }
}

variable "doppler_token_secret_arn" {
  description = "ARN of the secret with a Doppler token, required for a mirror without DopplerIdentity. It must not be the secret that is rotated."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]{1,512}-[A-Za-z0-9]{6})?$", var.doppler_token_secret_arn))
    error_message = "Expected: the whole ARN, with the six characters at its end that Secrets Manager added to the name."
  }
}

variable "doppler_token_kms_key_arn" {
  description = "ARN of the customer managed KMS key that encrypts the secret with the token. Empty for the account's own key."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)?$", var.doppler_token_kms_key_arn))
    error_message = "Expected: the ARN of the key and not of an alias, as in arn:aws:kms:eu-west-1:123456789012:key/...."
  }
}

variable "doppler_api_url" {
  description = "Base URL of the Doppler API."
  type        = string
  default     = "https://api.doppler.com"
  nullable    = false

  validation {
    condition = (
      can(regex("^https://([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\\.){0,10}([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\\.){0,10}[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(/[A-Za-z0-9._~/-]{0,1000})?$", var.doppler_api_url)) &&
      !can(regex("^https://([^/]*[.])?[Xx][Nn]--", var.doppler_api_url))
    )
    error_message = "Expected: an https URL with a host's name (no address, no user, no xn--), a port and a path at most."
  }
}

variable "doppler_create_missing" {
  description = "Whether to create a missing project, environment or config of DopplerTargets in Doppler. The token must then belong to a service account with permission to do so."
  type        = string
  default     = "false"
  nullable    = false

  validation {
    condition     = contains(["true", "false"], var.doppler_create_missing)
    error_message = "Expected: true or false."
  }
}

variable "event_bus_name" {
  description = "Name of an event bus of this account and Region to which notices about keys are sent, for instance default. Empty for no notices."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9/._-]{0,256}$", var.event_bus_name))
    error_message = "Expected: the name of an event bus and not its ARN, for instance default; up to 256 letters, digits and the characters /._-."
  }
}

variable "notice_topic_arn" {
  description = "ARN of the SNS topic that receives the notices as sentences, for the owners of keys. Its policy must allow that. Empty for none."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+)?$", var.notice_topic_arn))
    error_message = "Expected: the ARN of a standard topic, for instance arn:aws:sns:eu-west-1:123456789012:key-owners."
  }
}

# The template has no such parameter: CloudFormation knows every parameter before it creates anything.
variable "sends_notices_to_topic" {
  description = "Whether notice_topic_arn is set. Set it to true if the same apply creates the topic, whose ARN Terraform does not know in the plan. Null to decide by notice_topic_arn."
  type        = bool
  default     = null
}

variable "alarm_topic_arn" {
  description = "ARN of the SNS topic that receives alarm notifications. Empty for no notifications."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+)?$", var.alarm_topic_arn))
    error_message = "Expected: the ARN of a standard topic, for instance arn:aws:sns:eu-west-1:123456789012:on-call."
  }
}

variable "current_key_max_age_days" {
  description = "Age in days above which the current key raises an alarm. It must be longer than the schedule's interval plus its window."
  type        = string
  default     = "35"
  nullable    = false

  validation {
    condition     = try(tonumber(var.current_key_max_age_days), 0) >= 1
    error_message = "Expected: a number, at least 1."
  }
}

variable "documentation_url" {
  description = "Location of this project's documentation, as an https URL or a relative path. Alarms and errors link to its pages."
  type        = string
  default     = "docs"
  nullable    = false

  validation {
    condition = (
      can(regex("^[A-Za-z0-9._~-]{1,60}(/[A-Za-z0-9._~-]{1,60}){0,4}$", var.documentation_url)) || (
        can(regex("^https://([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\\.){0,4}[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(/[A-Za-z0-9._~/-]{0,300})?$", var.documentation_url)) &&
        !can(regex("^https://([^/]*[.])?[Xx][Nn]--", var.documentation_url))
      )
    )
    error_message = "Expected: docs, another relative path, or an https URL with a host's name (no address, no user, no xn--), a port and a path at most."
  }
}

variable "role_name" {
  description = "Name of the function's role. Empty for a generated one. With DopplerIdentity, choose a name, because the identity names the role's ARN as its subject. Begin it with the stack's name and -Role-, which policies in the documentation match."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9+=,.@_-]{0,64}$", var.role_name))
    error_message = "Expected: up to 64 letters, digits and the characters +=,.@_-."
  }
}

variable "log_level" {
  description = "Lowest level of the function's own log lines to keep."
  type        = string
  default     = "INFO"
  nullable    = false

  validation {
    condition     = contains(["DEBUG", "INFO"], var.log_level)
    error_message = "Expected: DEBUG or INFO."
  }
}

variable "log_retention_days" {
  description = "Days after which log lines are deleted."
  type        = string
  default     = "90"
  nullable    = false

  validation {
    condition     = contains(["1", "3", "5", "7", "14", "30", "60", "90", "120", "150", "180", "365", "400", "545", "731", "1096", "1827", "2192", "2557", "2922", "3288", "3653"], var.log_retention_days)
    error_message = "Expected: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653."
  }
}

variable "reserved_concurrency" {
  description = "Concurrency that is reserved for the function and is its limit, at least 2. Empty for a share of the account's."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^([2-9]|[1-9][0-9]{1,3})?$", var.reserved_concurrency))
    error_message = "Expected: a number from 2 to 9999, or empty."
  }
}

variable "code_signing_config_arn" {
  description = "ARN of a code signing configuration, which decides whose code the function may have. Sign with sam deploy --signing-profiles."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:code-signing-config:csc-[a-z0-9]{17})?$", var.code_signing_config_arn))
    error_message = "Expected: the ARN of a code signing configuration, as in arn:aws:lambda:eu-west-1:123456789012:code-signing-config:csc-...."
  }
}

variable "subnet_ids" {
  description = "IDs of private subnets of a VPC that the function's traffic goes through, separated by commas. They need a route or an endpoint to each service. Empty for Lambda's own network."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(subnet-[0-9a-f]{8,17}(,subnet-[0-9a-f]{8,17}){0,15})?$", var.subnet_ids))
    error_message = "Expected: at most 16 IDs of subnets separated by commas without spaces."
  }
}

variable "security_group_ids" {
  description = "IDs of the security groups of the function in that VPC, separated by commas. It only connects to other hosts, by TCP port 443."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(sg-[0-9a-f]{8,17}(,sg-[0-9a-f]{8,17}){0,4})?$", var.security_group_ids))
    error_message = "Expected: at most 5 IDs of security groups separated by commas without spaces."
  }
}

variable "https_proxy" {
  description = "URL of the proxy through which the function calls AWS, Doppler and ProbeUrl. Empty for none."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition = (
      var.https_proxy == "" ||
      can(regex("^https?://(([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\\.){0,10}([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\\.){0,10}[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?|((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\\.){3}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9]))(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?$", var.https_proxy))
    )
    error_message = "Expected: an http or https URL with a host and a port and without a user, for instance http://proxy.example.com:3128."
  }
}

variable "no_proxy" {
  description = "Hosts that are called without the proxy, separated by commas, for instance the Region's hosts with VPC endpoints."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition = (
      var.no_proxy == "" || (
        length(split(",", var.no_proxy)) <= 50 &&
        alltrue([
          for host in split(",", var.no_proxy) :
          can(regex("^([*]|[.]?([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\\.){0,10}([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\\.){0,10}[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?|((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\\.){3}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(/(3[0-2]|[12]?[0-9]))?)$", host))
        ])
      )
    )
    error_message = "Expected: at most 50 domains, IPv4 addresses or CIDR blocks separated by commas without spaces, for instance .eu-west-1.amazonaws.com,10.0.0.0/8."
  }
}

variable "use_fips_endpoint" {
  description = "Whether to call AWS at its FIPS endpoints. Not every Region has them."
  type        = string
  default     = "false"
  nullable    = false

  validation {
    condition     = contains(["true", "false"], var.use_fips_endpoint)
    error_message = "Expected: true or false."
  }
}

variable "use_dual_stack_endpoint" {
  description = "Whether to call AWS at its dual-stack endpoints. The subnets of SubnetIds must then have IPv6 addresses."
  type        = string
  default     = "false"
  nullable    = false

  validation {
    condition     = contains(["true", "false"], var.use_dual_stack_endpoint)
    error_message = "Expected: true or false."
  }
}

variable "permissions_boundary_arn" {
  description = "ARN of the policy that is the permissions boundary of the role. It must allow what docs/networks.md lists."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/[A-Za-z0-9+=,.@_/-]{1,512})?$", var.permissions_boundary_arn))
    error_message = "Expected: the ARN of a managed policy, as in arn:aws:iam::123456789012:policy/boundary."
  }
}

variable "role_path" {
  description = "Path of the role, for instance /rotation/. A change replaces the role, whose ARN then differs. Empty for none."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^(/([A-Za-z0-9+=,.@_-]{1,64}/){1,7})?$", var.role_path))
    error_message = "Expected: a path that begins and ends with a slash, for instance /rotation/."
  }
}

variable "wider_tag_permission" {
  description = "Whether the function may PUT any tag of API Gateway, not only those of API keys. Set it only if CreateApiKey is denied apigateway:PUT on a resource that is not in the policy."
  type        = string
  default     = "false"
  nullable    = false

  validation {
    condition     = contains(["true", "false"], var.wider_tag_permission)
    error_message = "Expected: true or false."
  }
}

variable "wider_key_permission" {
  description = "Whether IAM allows the function to PATCH and DELETE API keys without its tag, which it never does. Set it only if UpdateApiKey of one of its own keys is denied."
  type        = string
  default     = "false"
  nullable    = false

  validation {
    condition     = contains(["true", "false"], var.wider_key_permission)
    error_message = "Expected: true or false."
  }
}
