"""The module in examples/terraform: its variables are the template's parameters, and it passes each of them on.

Needs the packages of tests/tools/terraform.txt. Run it with `make iac`.
"""

import json
import re
import unittest

import hcl2
import template

FOLDER = template.PROJECT / "examples/terraform"
# What has no parameter: how the module finds the files, and the name of the stack.
OWN = {"name", "release", "bucket", "architecture", "tags"}
# For local runs only.
LEFT_OUT = {"EndpointUrl"}


def blocks(file, kind):
    """Returns the blocks of a kind with one label, by this label."""
    with open(FOLDER / file, encoding="utf-8") as text:
        parsed = hcl2.load(text)
    return {json.loads(label): block for one in parsed[kind] for label, block in one.items()}


def snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


class Terraform(unittest.TestCase):
    def test_variables_are_parameters_of_template(self):
        parameters = template.read()["Parameters"]
        variables = blocks("variables.tf", "variable")
        expected = [snake(name) for name in parameters if name not in LEFT_OUT | {"Architecture"}]
        self.assertEqual([name for name in variables if name not in OWN], expected)
        for name, parameter in parameters.items():
            if name in LEFT_OUT:
                continue
            variable = variables[snake(name)]
            self.assertEqual(json.loads(variable["default"]), str(parameter["Default"]), name)
            self.assertEqual(json.loads(variable["description"]), parameter["Description"].strip(), name)
            self.assertEqual(variable["type"], "string", name)

    def test_stack_gets_every_parameter(self):
        with open(FOLDER / "main.tf", encoding="utf-8") as text:
            resources = hcl2.load(text)["resource"]
        [stack] = [one['"aws_cloudformation_stack"']['"rotation"'] for one in resources if '"aws_cloudformation_stack"' in one]
        names = set(template.read()["Parameters"]) - LEFT_OUT
        self.assertEqual(stack["parameters"], {name: f"${{var.{snake(name)}}}" for name in names})
        self.assertEqual(stack["capabilities"], ['"CAPABILITY_NAMED_IAM"', '"CAPABILITY_AUTO_EXPAND"'])

    def test_outputs_exist_in_template(self):
        outputs = template.read()["Outputs"]
        for name, output in blocks("outputs.tf", "output").items():
            [read] = re.findall(r'outputs(?:\[|, )"(\w+)"', output["value"])
            self.assertEqual(snake(read), name)
            self.assertIn(read, outputs)

    def test_both_files_are_checked_before_upload(self):
        with open(FOLDER / "main.tf", encoding="utf-8") as text:
            resources = hcl2.load(text)["resource"]
        for name, file in (("code", "zip"), ("template", "template")):
            [uploaded] = [one['"aws_s3_object"'][f'"{name}"'] for one in resources if f'"{name}"' in one.get('"aws_s3_object"', {})]
            condition = uploaded["lifecycle"][0]["precondition"][0]["condition"]
            self.assertIn(f'lookup(local.sums, local.{file}, "") == filesha256("${{var.release}}/${{local.{file}}}")', condition)

    def test_examples_set_known_variables(self):
        variables = blocks("variables.tf", "variable")
        examples = sorted((FOLDER / "examples").glob("*/main.tf"))
        self.assertEqual(len(examples), 2)
        for example in examples:
            module = blocks(example.relative_to(FOLDER), "module")["partner_api_key"]
            given = {name for name in module if not name.startswith("__")} - {"source"}
            self.assertLessEqual(given, set(variables), example)
            needed = {name for name, variable in variables.items() if "default" not in variable}
            self.assertLessEqual(needed, given, example)


if __name__ == "__main__":
    unittest.main()
