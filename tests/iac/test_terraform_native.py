"""The module in examples/terraform-native, evaluated: it creates and accepts what the template does.

Needs the packages of tests/tools/terraform.txt. Run it with `make iac`.
"""

import base64
import hashlib
import pathlib
import tempfile
import unittest

import hcl
from cloudformation import Stack, source
from counterparts import OWN, addresses, expected, names, plain, present, snake
from native import CHANGES, FOLDER, LEFT_OUT, NAME, WAYS, cases, make_release, module

TOPIC = "arn:aws:sns:eu-west-1:123456789012:owners"
# Rules of parameters that the module does not have.
RULES_LEFT_OUT = {"AnEndpointHasNoKind"}


def comparable(attributes):
    """Removes differences in notation, also in the blocks of a resource."""
    blocks = {key: [present(one) for one in value] for key, value in attributes.items() if is_block(value)}
    return plain(present(attributes | blocks))


def is_block(value):
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


class Evaluated(unittest.TestCase):
    maxDiff = 4000

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.release = pathlib.Path(folder.name)
        make_release(self.release)

    def test_resources_and_rules_are_those_of_template(self):
        kept, broken, used = 0, set(), set()
        for parameters in cases():
            stack, found = Stack(NAME, parameters, names(NAME)), module(self.release, parameters)
            self.assertTrue(stack.accepts_parameters(), parameters)
            rules = stack.broken_rules()
            broken |= set(rules)
            self.assertEqual(bool(found.refusals()), bool(rules), f"{rules} {parameters}")
            if rules:
                continue
            kept += 1
            used |= {(name, value) for name, value in parameters.items()}
            self.assert_resources(found.resources(), expected(stack, NAME), parameters)
        self.assertGreater(kept, 500)
        self.assertEqual(broken, set(source()["Rules"]) - RULES_LEFT_OUT)
        # Each value of a change was part of a comparison.
        wanted = {pair for change in (*WAYS, *CHANGES) for pair in change.items()}
        self.assertEqual(wanted - used, set())
        self.assertEqual({name for name, _ in wanted}, set(source()["Parameters"]) - LEFT_OUT)

    def assert_resources(self, found, wanted, parameters):
        self.assertEqual(set(found) - {"terraform_data.rules"}, set(wanted), parameters)
        for address, attributes in wanted.items():
            own = OWN.get(address.partition(".")[0], set())
            left = {key: value for key, value in found[address].items() if key not in own}
            self.assertEqual(comparable(left), comparable(attributes), f"{address} with {parameters}")

    def test_outputs_are_those_of_template(self):
        for parameters in [way | change for way in WAYS for change in ({}, *CHANGES)]:
            stack, found = Stack(NAME, parameters, names(NAME)), module(self.release, parameters)
            if stack.broken_rules():
                continue
            values = {name: found.output(name) for name in found.outputs}
            wanted = {snake(name): value for name, value in stack.outputs().items()}
            # The name of the zip has the version.
            del wanted["version"]
            self.assertEqual({name: value for name, value in values.items() if value is not None}, wanted, parameters)

    def test_rotation_waits_for_all_else(self):
        rotation = source()["Resources"]["SecretRotation"]
        waits = module(self.release, WAYS[0]).dependencies("aws_secretsmanager_secret_rotation", "secret_rotation")
        for logical in [*rotation["DependsOn"], rotation["Metadata"]["CreatedAfter"]["Fn::If"][1]["Ref"]]:
            [address, *_] = addresses(logical, source()["Resources"][logical]["Type"])
            self.assertIn(address.partition("[")[0].replace("_event_rule", "_event_target"), waits)
        # In the template, a part of the role and of each rule.
        module_ = module(self.release, WAYS[0])
        parts = {".".join(place) for place in module_.blocks if place[0] in ("aws_cloudwatch_event_target", "aws_iam_role_policy")}
        self.assertLessEqual(parts, waits)
        self.assertIn("aws_iam_role_policy.rotation", module_.dependencies("aws_lambda_function", "rotation_function"))

    def test_no_value_is_held_and_secret_is_kept(self):
        blocks = module(self.release, WAYS[0]).blocks
        self.assertFalse({kind for kind, _ in blocks} & {"aws_secretsmanager_secret_version", "aws_api_gateway_api_key"})
        [lifecycle] = blocks["aws_secretsmanager_secret", "secret"].inner("lifecycle")
        self.assertEqual(hcl.source_of(lifecycle.attributes["prevent_destroy"]), "true")

    def test_longest_name_leaves_room_for_its_additions(self):
        found = module(self.release, WAYS[0] | {"EventBusName": "keys", "NoticeTopicArn": TOPIC}, name="a" * 48).resources()
        given = {address: own["name"] for address, own in found.items() if address.startswith("aws_cloudwatch_event_rule.")}
        self.assertEqual(len(given), 4)
        for address, name in given.items():
            self.assertLessEqual(len(name), 64, address)
        self.assertLessEqual(len(found["aws_iam_role.role"]["name_prefix"]), 38)

    def test_code_and_tags_are_those_given(self):
        for architecture in ("x86_64", "arm64"):
            [zipped] = self.release.glob(f"*-{architecture}.zip")
            evaluated = module(self.release, WAYS[0] | {"Architecture": architecture})
            evaluated.values["tags"] = {"team": "shop"}
            found = evaluated.resources()
            own = found["aws_lambda_function.rotation_function"]
            self.assertEqual(own["filename"], str(zipped))
            self.assertEqual(own["source_code_hash"], base64.b64encode(hashlib.sha256(zipped.read_bytes()).digest()).decode())
            tagged = {address for address, attributes in found.items() if attributes.get("tags") == {"team": "shop"}}
            self.assertEqual(tagged, {address for address in found if "tags" in OWN.get(address.partition(".")[0], ())})

    def test_topic_of_notices_can_be_announced(self):
        with_bus = WAYS[0] | {"EventBusName": "keys"}
        for parameters, announced, is_accepted in [
            (with_bus | {"NoticeTopicArn": TOPIC}, True, True),
            (with_bus | {"NoticeTopicArn": TOPIC}, False, False),
            (with_bus, False, True),
            (with_bus, True, False),
            (WAYS[0], True, False),
        ]:
            evaluated = module(self.release, parameters)
            evaluated.values["sends_notices_to_topic"] = announced
            self.assertEqual(evaluated.refusals() == [], is_accepted, f"{parameters} {announced}")
            found = "aws_cloudwatch_event_rule.notices[0]" in evaluated.resources()
            self.assertEqual(found, announced, parameters)

    def test_changed_zip_is_refused(self):
        self.assertEqual(module(self.release, WAYS[0]).refusals(), [])
        [zipped] = self.release.glob("*-x86_64.zip")
        zipped.write_text("another program", encoding="utf-8")
        [refusal] = module(self.release, WAYS[0]).refusals()
        self.assertIn("not the file of the release", refusal)

    def test_examples_set_known_variables(self):
        known = module(self.release, WAYS[0]).variables
        required = {name for name, block in known.items() if "default" not in block.attributes}
        examples = sorted((FOLDER / "examples").iterdir())
        self.assertEqual([one.name for one in examples], ["existing-secret", "fleet", "new-secret"])
        for example in examples:
            [called] = [block for block in hcl.parse(example) if block.kind == "module"]
            given = set(called.attributes) - {"source"}
            self.assertLessEqual(required, given, example)
            self.assertLessEqual(given, set(known), example)


if __name__ == "__main__":
    unittest.main()
