# Shell functions that the pages beside this file use. They need bash or zsh, the AWS CLI and Python 3.
#
#   . docs/rotation.sh        once in each shell; AWS CloudShell has all that it needs
#
# The variables F (the function, which has the stack's name) and S (the secret's name) say what they work on.
# In the sandbox: rotation_use rotation demo/partner-api-key
# The functions write rotation-*.json into the current folder; none of these files has a value.

# rotation_use STACK [SECRET]: sets F and S. For a fleet, name the secret.
rotation_use() {
  export AWS_PAGER= F="$1" S="${2:-}"
  if [ -z "$S" ]; then
    S=$(aws cloudformation describe-stacks --stack-name "$F" --output text \
      --query "Stacks[0].Outputs[?OutputKey=='SecretArn'].OutputValue") || return
    if [ -z "$S" ]; then
      echo "stack $F serves a fleet: rotation_use $F SECRET" >&2
      return 1
    fi
  fi
  # The name, also where an ARN was given: keys are named after it.
  S=$(aws secretsmanager describe-secret --secret-id "$S" --query Name --output text) || return
  echo "function $F, secret $S"
}

# rotation_invoke STEP [FIELD=VALUE ...]: invokes the function for $S and prints its answer, one fact on a line.
# SecretId= leaves the secret out. Fails if the function does.
rotation_invoke() {
  python3 -c '
import json, os, sys
event = {"Step": sys.argv[1], "SecretId": os.environ.get("S", "")}
for field in sys.argv[2:]:
    name, equals, value = field.partition("=")
    if not equals:
        raise SystemExit(f"{field}: write FIELD=VALUE")
    event[name] = value
print(json.dumps({name: value for name, value in event.items() if value or name != "SecretId"}))' "$@" >rotation-event.json &&
  # The function may take 300 s, which is longer than the AWS CLI waits, and is not to be invoked a second time.
  AWS_MAX_ATTEMPTS=1 aws lambda invoke --function-name "$F" --cli-read-timeout 330 \
    --payload fileb://rotation-event.json rotation-answer.json >rotation-invocation.json &&
  python3 -c '
import json
answer = json.load(open("rotation-answer.json"))
if "errorType" in answer:
    raise SystemExit(answer["errorType"] + ": " + answer["errorMessage"])
for secret in answer.get("secrets", [answer]):
    if len(answer.get("secrets", [])) > 1:
        print("secret:", secret["secret"])
    for name in "checked", "done", "wouldDo", "issues", "handOverCommands":
        for line in secret.get(name) or []:
            print(f"{name}: {line}")
    changes = "wouldDo" if "wouldDo" in secret else "done"
    if not secret.get(changes):
        print(f"{changes}: nothing")
    status = secret.get("status") or {}
    for key in status.get("keys", []):
        until = " until " + key["nextTransitionAt"] if "nextTransitionAt" in key else ""
        print("key:", key["id"], key["state"] + until + (", current" if key["current"] else ""))
        used = key.get("lastUsed") or {"byPlan": []}
        for use in used["byPlan"]:
            print("used:", key["id"], use["day"], "on usage plan", use["usagePlan"] + ", requests:", use["requests"])
        if "unknown" in used:
            print("used:", key["id"], "is not known:", used["unknown"])
    for target in status.get("targets", []):
        print("target:", target["target"], "holds", target["holds"])
for secret in answer.get("notProcessed", []):
    print("not processed:", secret)'
}

# rotation_pending: prints the version of a rotation that is under way, or fails and says that there is none.
rotation_pending() {
  local versions
  versions=$(aws secretsmanager describe-secret --secret-id "$S" --query VersionIdsToStages --output json) || return
  printf '%s\n' "$versions" | python3 -c '
import json, sys
pending = [id for id, labels in (json.load(sys.stdin) or {}).items() if "AWSPENDING" in labels]
if not pending:
    raise SystemExit("no version is pending: no rotation is under way")
print(*pending)'
}

# rotation_change PARAMETER=VALUE ...: changes parameters of the stack $F, keeps all others, and waits.
rotation_change() {
  local names
  names=$(aws cloudformation describe-stacks --stack-name "$F" --query 'Stacks[0].Parameters[].ParameterKey' --output json) ||
    return
  printf '%s\n' "$names" | python3 -c '
import json, sys
names, values = json.load(sys.stdin), {}
for argument in sys.argv[1:]:
    name, equals, value = argument.partition("=")
    if not equals:
        raise SystemExit(f"{argument}: write PARAMETER=VALUE")
    if name not in names:
        raise SystemExit(f"there is no parameter {name}")
    values[name] = value
if not values:
    raise SystemExit("name a parameter: PARAMETER=VALUE")
print(json.dumps([{"ParameterKey": name} | ({"ParameterValue": values[name]} if name in values else {"UsePreviousValue": True})
                  for name in names]))' "$@" >rotation-parameters.json &&
  aws cloudformation update-stack --stack-name "$F" --use-previous-template --parameters file://rotation-parameters.json \
    --capabilities CAPABILITY_NAMED_IAM CAPABILITY_AUTO_EXPAND &&
  aws cloudformation wait stack-update-complete --stack-name "$F"
}
