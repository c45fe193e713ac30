"""Both modules for Terraform, with Terraform itself and the AWS provider: format, validation, and plans with mocks.

A test is skipped where Terraform or the provider is missing. The plans show that the evaluation in expressions.py is
Terraform's. Needs the packages of tests/tools/terraform.txt. Run it with `make iac`.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import template
from cloudformation import ACCOUNT, REGION, Stack
from counterparts import SECRET_ARN, names
from native import CHANGES, DATA, FOLDER, NAME, WAYS, make_release, module, variables

STACK = template.PROJECT / "examples/terraform"
# Providers that an image brings where Terraform does not look. Without one, Terraform asks its registry.
MIRRORS = [*pathlib.Path("/opt").glob("*/registry.terraform.io")]
# What a provider chooses is the same for all resources of a type here, because mocks know no more.
CHOSEN = {
    "aws_cloudwatch_event_rule": {"arn": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/chosen"},
    "aws_cloudwatch_log_group": {"arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:chosen"},
    "aws_cloudwatch_metric_alarm": {"arn": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:chosen"},
    "aws_iam_role": {"arn": f"arn:aws:iam::{ACCOUNT}:role/chosen", "name": "chosen"},
    "aws_lambda_function": {"arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{NAME}"},
    "aws_secretsmanager_secret": {"arn": SECRET_ARN},
}
# What the apply of the plan may create, so that Terraform does not know it in the plan.
LATER = {
    "new": [
        "usage_plan_ids", "kms_key_arn", "doppler_targets", "doppler_token_secret_arn", "doppler_token_kms_key_arn",
        "alarm_topic_arn", "notice_topic_arn", "subnet_ids", "security_group_ids", "permissions_boundary_arn",
        "code_signing_config_arn", "probe_url", "stage_keys",
    ],
    "existing": ["existing_secret_arn", "kms_key_arn", "doppler_identity", "notice_topic_arn", "event_bus_name"],
    "fleet": ["fleet_config_secret_arns", "fleet_config_kms_key_arn", "fleet_usage_plan_ids", "alarm_topic_arn"],
}
KNOWN = {
    "new": {"secret_name": "shop/partner-api-key", "event_bus_name": "keys", "sends_notices_to_topic": True},
    "existing": {"sends_notices_to_topic": True},
    "fleet": {"fleet": "true"},
}


def terraform(folder, *arguments):
    """Runs Terraform in a folder."""
    environment = os.environ | {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
    if MIRRORS:
        environment["TF_CLI_CONFIG_FILE"] = os.devnull
        environment["TF_CLI_ARGS_init"] = f"-plugin-dir={MIRRORS[0].parent}"
    return subprocess.run(
        ["terraform", *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def chosen(address, own):
    """Returns what AWS chooses for a resource. A mock keeps a name that is given."""
    found = CHOSEN.get(address.partition(".")[0], {})
    return {key: value for key, value in found.items() if not own.get(key)}


def mocked(*lines):
    """Returns lines for a provider whose data sources are known."""
    data = [f"mock_data {json.dumps(name)} {{\ndefaults = {json.dumps(one)}\n}}" for name, one in DATA.items()]
    return [f"mock_provider {json.dumps('aws')} {{", *data, *lines, "}"]


def rich(changes):
    """Returns for each way as many of the changes together as the rules of the template allow."""
    for way in WAYS:
        parameters = way
        for change in changes:
            both = parameters | change
            if not set(change) & set(parameters) and not Stack(NAME, both, names(NAME)).broken_rules():
                parameters = both
        yield parameters


def is_in(own, found):
    """Whether a value has what the evaluation says. What only the provider adds does not count: a mock makes eight letters."""
    if own is None:
        return not found or re.fullmatch("[a-z0-9]{8}", found) is not None
    if own in ({}, []):
        return not found
    if isinstance(own, dict) and isinstance(found, dict):
        return all(is_in(value, found.get(key)) for key, value in own.items())
    if isinstance(own, list) and isinstance(found, list):
        return len(own) == len(found) and all(map(is_in, own, found))
    if isinstance(own, str) and own[:1] == "{" and "<" not in own:
        return json.loads(own) == json.loads(found)
    return own == found


@unittest.skipUnless(shutil.which("terraform"), "Terraform is not installed")
class Itself(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def initialized(self, source, place="."):
        """Returns a folder in a copy of a module, with its provider."""
        copied = self.folder / source.name / place
        shutil.copytree(source, self.folder / source.name, dirs_exist_ok=True)
        try:
            done = terraform(copied, "init", "-backend=false", "-input=false")
        except subprocess.TimeoutExpired as slow:
            self.skipTest(f"Terraform cannot get the AWS provider: {slow}")
        if done.returncode:
            self.skipTest(f"Terraform cannot get the AWS provider: {done.stderr.strip()[:300]}")
        return copied

    def test_format_is_that_of_terraform(self):
        for source in (STACK, FOLDER):
            done = terraform(source, "fmt", "-check", "-recursive", "-diff")
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_modules_and_examples_are_valid(self):
        examples = [(source, example) for source in (STACK, FOLDER) for example in sorted(source.glob("examples/*"))]
        self.assertEqual(len(examples), 5)
        # An example includes its module.
        for source, example in examples:
            done = terraform(self.initialized(source, example.relative_to(source)), "validate")
            self.assertEqual(done.returncode, 0, f"{example}: {done.stdout}{done.stderr}")

    def planned(self, folder):
        """Plans a module whose resources do not exist yet: only the data sources are known."""
        (folder / "tests").mkdir()
        lines = [*mocked(), f"run {json.dumps('first')} {{", "command = plan", "}"]
        (folder / "tests/first.tftest.hcl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        done = terraform(folder, "test")
        self.assertEqual(done.returncode, 0, f"{folder.name}: {done.stdout[-4000:]}{done.stderr}")

    def test_examples_can_be_planned_at_first(self):
        for example in sorted(FOLDER.glob("examples/*")):
            folder = self.initialized(FOLDER, example.relative_to(FOLDER))
            (folder / "release").mkdir()
            make_release(folder / "release")
            self.planned(folder)

    def test_plan_knows_resources_without_their_arns(self):
        shutil.copytree(FOLDER, self.folder / "module")
        root = self.folder / "given/root"
        root.mkdir(parents=True)
        make_release(root)
        lines = ['provider "aws" {', f"region = {json.dumps(REGION)}", "}"]
        lines += ['resource "terraform_data" "later" {', 'input = "later"', "}"]
        for way, later in LATER.items():
            given = {"source": "../module", "name": NAME, "release": "."} | KNOWN[way]
            values = {name: json.dumps(value) for name, value in given.items()}
            values |= dict.fromkeys(later, "terraform_data.later.output")
            lines += [f"module {json.dumps(way)} {{", *(f"{name} = {value}" for name, value in values.items()), "}"]
        (root / "main.tf").write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.planned(self.initialized(root))

    def test_plans_are_what_was_evaluated(self):
        folder = self.initialized(FOLDER)
        make_release(folder)
        given = [*rich(CHANGES), *rich(CHANGES[::-1])]
        chosen_by_aws = [f"mock_resource {json.dumps(name)} {{\ndefaults = {json.dumps(one)}\n}}" for name, one in CHOSEN.items()]
        tests = mocked("override_during = plan", *chosen_by_aws)
        for number, parameters in enumerate(given):
            values = {"name": NAME, "release": "."} | variables(parameters)
            lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
            tests += [f"run {json.dumps(f'case{number}')} {{", "command = plan", "variables {", *lines, "}", "}"]
        (folder / "tests").mkdir()
        (folder / "tests/cases.tftest.hcl").write_text("\n".join(tests) + "\n", encoding="utf-8")

        done = terraform(folder, "test", "-json", "-verbose")
        self.assertEqual(done.returncode, 0, done.stdout[-4000:] + done.stderr)
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        plans = [line["test_plan"] for line in lines if line["type"] == "test_plan"]
        self.assertEqual(len(plans), len(given))
        for parameters, plan in zip(given, plans, strict=True):
            evaluated = module(folder, parameters, chosen)
            changes = {one["address"]: one["change"] for one in plan["resource_changes"] if one["mode"] == "managed"}
            resources = evaluated.resources()
            self.assertEqual(set(changes), set(resources), parameters)
            for address, own in resources.items():
                for name, value in own.items():
                    found = changes[address]["after"].get(name)
                    # The folder differs.
                    if name != "filename":
                        self.assertTrue(is_in(value, found), f"{address}.{name}: {value!r}, {found!r} with {parameters}")
            for name, change in plan["output_changes"].items():
                self.assertEqual(evaluated.output(name), change["after"], f"{name} with {parameters}")


if __name__ == "__main__":
    unittest.main()
