# The function's permissions.

resource "aws_iam_role" "role" {
  name = local.has_role_name ? var.role_name : null
  # IAM accepts 38 characters, to which it adds 26.
  name_prefix          = local.has_role_name ? null : "${substr(var.name, 0, 32)}-Role-"
  description          = "Permissions of the function ${var.name}."
  path                 = var.role_path != "" ? var.role_path : null
  permissions_boundary = var.permissions_boundary_arn != "" ? var.permissions_boundary_arn : null
  tags                 = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "rotation" {
  name = "rotation"
  role = aws_iam_role.role.name

  # Without the statements, and without the conditions of a statement, that are null.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      for statement in local.statements :
      { for name, value in statement : name => value if value != null } if statement != null
    ]
  })
}

locals {
  api_keys_arn    = "arn:${local.partition}:apigateway:${local.region}::/apikeys"
  usage_plans_arn = "arn:${local.partition}:apigateway:${local.region}::/usageplans"
  tags_arn        = "arn:${local.partition}:apigateway:${local.region}::/tags"

  # For one secret, its ARN; for a fleet, that of any secret.
  rotated_secret_arn = local.is_fleet ? local.any_secret_arn : local.secret_arn

  # The plans to which keys may be attached. The conditions of the statements limit them to the Region.
  usage_plan_ids = compact(split(",", local.has_usage_plan_ids ? var.usage_plan_ids : var.fleet_usage_plan_ids))
  given_plans    = [for id in local.usage_plan_ids : "arn:*:apigateway:*::/usageplans/${id}"]

  fleet_config_secret_arns = compact(split(",", var.fleet_config_secret_arns))

  # Secrets Manager decrypts and encrypts with the permissions of its caller.
  through_secrets_manager = "secretsmanager.${local.region}.${data.aws_partition.current.dns_suffix}"

  statements = [
    # Write the log. The function cannot create the log group, which has its retention.
    {
      Sid      = "Logs"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = "${aws_cloudwatch_log_group.log_group.arn}:*"
    },

    # Read the state of a rotation, read and store values, and move labels, for this secret only. For a fleet: for the
    # secrets whose rotation function this is.
    {
      Sid    = "RotatedSecret"
      Effect = "Allow"
      Action = concat(local.is_fleet ? [] : ["secretsmanager:DescribeSecret"], [
        "secretsmanager:GetSecretValue",
        "secretsmanager:PutSecretValue",
        "secretsmanager:UpdateSecretVersionStage",
      ])
      Resource = local.rotated_secret_arn
      Condition = local.is_fleet ? {
        ArnEquals = { "secretsmanager:resource/AllowRotationLambdaArn" = local.function_arn }
      } : null
    },

    # List the secrets of a fleet: names without values. AWS has no finer permission for it.
    local.is_fleet ? {
      Sid      = "FindSecrets"
      Effect   = "Allow"
      Action   = "secretsmanager:ListSecrets"
      Resource = "*"
    } : null,

    # A fleet receives an event for every secret whose label moves, and must find out whether it manages the secret. This
    # returns what the list returns.
    local.is_fleet ? {
      Sid      = "SeeSecrets"
      Effect   = "Allow"
      Action   = "secretsmanager:DescribeSecret"
      Resource = local.any_secret_arn
    } : null,

    # Only through Secrets Manager, and only for this secret.
    local.has_kms_key ? {
      Sid      = "KeyOfRotatedSecret"
      Effect   = "Allow"
      Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource = var.kms_key_arn
      Condition = {
        StringEquals = { "kms:ViaService" = local.through_secrets_manager }
        StringLike   = { "kms:EncryptionContext:SecretARN" = local.rotated_secret_arn }
      }
    } : null,

    # Read the documents of the fleet, without permission to change them.
    local.has_fleet_config ? {
      Sid      = "FleetConfig"
      Effect   = "Allow"
      Action   = "secretsmanager:GetSecretValue"
      Resource = local.fleet_config_secret_arns
    } : null,
    local.has_fleet_config_kms_key ? {
      Sid      = "KeyOfFleetConfig"
      Effect   = "Allow"
      Action   = "kms:Decrypt"
      Resource = var.fleet_config_kms_key_arn
      Condition = {
        StringEquals = {
          "kms:ViaService"                  = local.through_secrets_manager
          "kms:EncryptionContext:SecretARN" = local.fleet_config_secret_arns
        }
      }
    } : null,

    # Get the token that proves to Doppler which role this is: for its audience alone, and for five minutes at most. The
    # audience is a set, which StringEquals alone does not match, and ForAllValues also allows a call without any.
    local.has_doppler_identity ? {
      Sid      = "DopplerLogin"
      Effect   = "Allow"
      Action   = "sts:GetWebIdentityToken"
      Resource = "*"
      Condition = {
        "ForAllValues:StringEquals" = { "sts:IdentityTokenAudience" = local.doppler_audience }
        Null                        = { "sts:IdentityTokenAudience" = "false" }
        StringEquals                = { "sts:SigningAlgorithm" = "RS256" }
        NumericLessThanEquals       = { "sts:DurationSeconds" = 300 }
      }
    } : null,

    # Read the Doppler token, without permission to change it.
    local.has_doppler_token ? {
      Sid      = "DopplerToken"
      Effect   = "Allow"
      Action   = "secretsmanager:GetSecretValue"
      Resource = var.doppler_token_secret_arn
    } : null,
    local.has_doppler_token_kms ? {
      Sid      = "KeyOfDopplerToken"
      Effect   = "Allow"
      Action   = "kms:Decrypt"
      Resource = var.doppler_token_kms_key_arn
      Condition = {
        StringEquals = {
          "kms:ViaService"                  = local.through_secrets_manager
          "kms:EncryptionContext:SecretARN" = var.doppler_token_secret_arn
        }
      }
    } : null,

    # Create a key, and find keys by value or name. The list can show the value of every key in the Region: API Gateway
    # has no finer permission for it.
    {
      Sid      = "ApiKeys"
      Effect   = "Allow"
      Action   = ["apigateway:POST", "apigateway:GET"]
      Resource = local.api_keys_arn
    },

    # IAM checks the tags of a new key as a PUT on its tags. The path is the key's URL-encoded ARN, with a star because the
    # ID does not exist yet. Only these tags and only this owner are allowed.
    {
      Sid    = "TagsOfNewApiKeys"
      Effect = "Allow"
      Action = "apigateway:PUT"
      Resource = local.widens_tags ? [
        "${local.tags_arn}/*", local.api_keys_arn, "${local.api_keys_arn}/*"
      ] : ["${local.tags_arn}/arn%3A${local.partition}%3Aapigateway%3A${local.region}%3A%3A%2Fapikeys%2F*"]
      Condition = local.widens_tags ? null : {
        "ForAllValues:StringEquals" = { "aws:TagKeys" = ["rotation:secret", "rotation:version", "rotation:function"] }
        StringEqualsIfExists        = { "aws:RequestTag/rotation:function" = var.name }
      }
    },

    # Mark, disable and delete only managed keys: those that this function created or that were handed over.
    {
      Sid      = "OwnApiKeys"
      Effect   = "Allow"
      Action   = ["apigateway:PATCH", "apigateway:DELETE"]
      Resource = "${local.api_keys_arn}/*"
      Condition = local.widens_keys ? null : {
        StringEquals = { "aws:ResourceTag/rotation:function" = var.name }
      }
    },

    # Read the plans of the current key.
    {
      Sid      = "UsagePlans"
      Effect   = "Allow"
      Action   = "apigateway:GET"
      Resource = local.usage_plans_arn
    },

    # Check in a test rotation that the configured plans exist. Documents may name any plan. A star also matches a slash, so
    # this then includes what KeysOfUsagePlans and UseOfKeys allow.
    local.configures_usage_plans ? {
      Sid       = "GivenUsagePlans"
      Effect    = "Allow"
      Action    = "apigateway:GET"
      Resource  = local.limits_usage_plans ? local.given_plans : ["${local.usage_plans_arn}/*"]
      Condition = { StringEquals = { "aws:RequestedRegion" = local.region } }
    } : null,

    # Attach a key to a plan; if plans are configured, only to those.
    {
      Sid    = "AddToUsagePlans"
      Effect = "Allow"
      Action = "apigateway:POST"
      Resource = (
        local.limits_usage_plans ? [for plan in local.given_plans : "${plan}/keys"] : ["${local.usage_plans_arn}/*/keys"]
      )
      Condition = { StringEquals = { "aws:RequestedRegion" = local.region } }
    },

    # Check whether a key is on a plan, one key at a time.
    local.reads_any_usage_plan ? null : {
      Sid    = "KeysOfUsagePlans"
      Effect = "Allow"
      Action = "apigateway:GET"
      Resource = (
        local.limits_usage_plans ? [for plan in local.given_plans : "${plan}/keys/*"] : ["${local.usage_plans_arn}/*/keys/*"]
      )
      Condition = { StringEquals = { "aws:RequestedRegion" = local.region } }
    },

    # Read whether a superseded key is still used. The reply shows other keys of the plan as well, so if plans are
    # configured, only theirs.
    local.reads_usage ? {
      Sid    = "UseOfKeys"
      Effect = "Allow"
      Action = "apigateway:GET"
      Resource = (
        local.limits_usage_plans ? [for plan in local.given_plans : "${plan}/usage"] : ["${local.usage_plans_arn}/*/usage"]
      )
      Condition = { StringEquals = { "aws:RequestedRegion" = local.region } }
    } : null,

    # Send notices to the one bus, as no other source.
    local.has_event_bus ? {
      Sid       = "Notices"
      Effect    = "Allow"
      Action    = "events:PutEvents"
      Resource  = "arn:${local.partition}:events:${local.region}:${local.account}:event-bus/${var.event_bus_name}"
      Condition = { StringEquals = { "events:source" = "api-key-rotation" } }
    } : null,

    # Lambda creates the network interfaces of the VPC with this role. The code of the function gets none of these rights:
    # Lambda's own calls do not have the key of the condition.
    local.has_subnets ? {
      Sid    = "NetworkInterfaces"
      Effect = "Allow"
      Action = [
        "ec2:CreateNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:DeleteNetworkInterface",
        "ec2:AssignPrivateIpAddresses",
        "ec2:UnassignPrivateIpAddresses",
      ]
      Resource = "*"
    } : null,
    local.has_subnets ? {
      Sid       = "NoNetworkInterfacesForCode"
      Effect    = "Deny"
      Action    = "ec2:*"
      Resource  = "*"
      Condition = { ArnEquals = { "lambda:SourceFunctionArn" = local.function_arn } }
    } : null,
  ]
}
