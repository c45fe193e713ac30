"""The programs in examples/pulumi, run with Pulumi's mocks and the real types of its providers.

Needs the packages of tests/tools/pulumi.txt. Run it with `make iac`.
"""

import asyncio
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import template

FOLDER = template.PROJECT / "examples/pulumi"
VALUE = "MockedMockedMockedMockedMocked"
TOKEN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop/token-AbCdEf"
# What holds the value.
HOLDERS = {
    "aws:apigateway/apiKey:ApiKey",
    "aws:apigateway/usagePlanKey:UsagePlanKey",
    "aws:secretsmanager/secretVersion:SecretVersion",
    "doppler:index/secret:Secret",
}


def run_program(step, release):
    """Runs one program in this process, and prints what it registers."""
    import pulumi
    from pulumi.runtime import mocks

    registered = []

    class Mocks(mocks.Mocks):
        def new_resource(self, args):
            outputs = dict(args.inputs)
            outputs.setdefault("name", args.name)
            if args.typ == "aws:apigateway/apiKey:ApiKey":
                outputs["value"] = VALUE
            if args.typ == "aws:secretsmanager/secret:Secret":
                outputs["arn"] = f"arn:aws:secretsmanager:eu-west-1:123456789012:secret:{args.inputs['name']}-AbCdEf"
            if args.typ == "aws:s3/bucket:Bucket":
                outputs["bucket"] = "releases-1a2b3c"
            if args.typ == "aws:cloudformation/stack:Stack":
                outputs["outputs"] = {"SecretArn": "arn:secret", "RoleArn": "arn:role"}
            return ["a1b2c3", outputs]

        def call(self, args):
            return {"region": "eu-west-1", "id": "eu-west-1"}

    class Monitor(mocks.MockMonitor):
        def RegisterResource(self, request):
            reply = super().RegisterResource(request)
            inputs = mocks.rpc.deserialize_properties(request.object)
            registered.append(
                {
                    "type": request.type,
                    "name": request.name,
                    "retained": request.retainOnDelete,
                    "ignored": list(request.ignoreChanges),
                    "inputs": json.loads(json.dumps(inputs, default=lambda asset: asset.path)),
                }
            )
            return reply

    asyncio.set_event_loop(asyncio.new_event_loop())
    mocked = Mocks()
    pulumi.runtime.set_all_config(
        {"partner-api-key:step": step, "partner-api-key:release": release, "partner-api-key:dopplerTokenSecretArn": TOKEN}
    )
    mocks.set_mocks(mocked, project="partner-api-key", stack="prd", preview=False, monitor=Monitor(mocked))
    sys.path.insert(0, str(FOLDER))

    @pulumi.runtime.test
    def run():
        import importlib

        importlib.import_module(step)

    run()
    print(json.dumps(registered))


def resources(step, release):
    """Returns the resources that a program registers, by type and name."""
    done = subprocess.run(
        [sys.executable, __file__, "--run", step, str(release)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        cwd=pathlib.Path(__file__).parent,
        env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    if done.returncode:
        raise AssertionError(f"{step}: {done.stderr}")
    registered = json.loads(done.stdout.splitlines()[-1])
    return {(one["type"], one["name"]): one for one in registered if not one["type"].startswith("pulumi:")}


def make_release(folder):
    zipped = folder / "api-key-rotation-0.0.0-x86_64.zip"
    zipped.write_bytes(b"not a program")
    copy = folder / "api-key-rotation-0.0.0.yaml"
    copy.write_bytes(template.TEMPLATE.read_bytes())
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in (zipped, copy)]
    (folder / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")


class Pulumi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            make_release(pathlib.Path(folder))
            cls.of = {step: resources(step, folder) for step in ("before", "step1", "step2", "new")}

    def test_before_holds_value_where_expected(self):
        holding = {kind for kind, _ in self.of["before"]} & HOLDERS
        self.assertEqual(holding, HOLDERS)
        self.assertIn(VALUE, json.dumps(list(self.of["before"].values())))

    def test_first_step_changes_nothing_that_exists(self):
        for place, one in self.of["before"].items():
            self.assertEqual(self.of["step1"][place]["inputs"], one["inputs"], place)
        added = {kind for kind, _ in set(self.of["step1"]) - set(self.of["before"])}
        self.assertEqual(
            added,
            {
                "api-key-rotation:index:ApiKeyRotation",
                "aws:s3/bucket:Bucket",
                "aws:s3/bucketObjectv2:BucketObjectv2",
                "aws:cloudformation/stack:Stack",
            },
        )

    def test_second_step_removes_what_first_retained(self):
        removed = set(self.of["step1"]) - set(self.of["step2"])
        retained = {place for place, one in self.of["step1"].items() if one["retained"]}
        self.assertEqual(removed, retained)
        self.assertEqual({kind for kind, _ in removed}, HOLDERS)
        self.assertEqual(set(self.of["step2"]) - set(self.of["step1"]), set())
        for place, one in self.of["step2"].items():
            # Only the schedule is added, as the next test says.
            if place[0] != "aws:cloudformation/stack:Stack":
                self.assertEqual(self.of["step1"][place]["inputs"], one["inputs"], place)

    def test_schedule_begins_with_second_step(self):
        (first, before), (second, after) = self.parameters("step1"), self.parameters("step2")
        # A scheduled rotation would come while Pulumi has the version, and can write the superseded key again.
        self.assertEqual(first.pop("ScheduleExpression"), "")
        self.assertNotEqual(template.read()["Parameters"]["ScheduleExpression"]["Default"], "")
        self.assertEqual(first, second)
        self.assertEqual(before | {"parameters": None}, after | {"parameters": None})

    def test_no_resource_holds_value_afterwards(self):
        for step in ("step2", "new"):
            self.assertNotIn(VALUE, json.dumps(list(self.of[step].values())), step)
            self.assertFalse({kind for kind, _ in self.of[step]} & HOLDERS, step)

    def parameters(self, step):
        [stack] = [one for (kind, _), one in self.of[step].items() if kind == "aws:cloudformation/stack:Stack"]
        return stack["inputs"]["parameters"], stack["inputs"]

    def test_template_accepts_parameters(self):
        declared = template.read()["Parameters"]
        for step in ("step1", "step2", "new"):
            parameters, stack = self.parameters(step)
            for name, value in parameters.items():
                self.assertRegex(value, re.compile(declared[name].get("AllowedPattern", "")), name)
                if "AllowedValues" in declared[name]:
                    self.assertIn(value, [str(one) for one in declared[name]["AllowedValues"]], name)
            self.assertEqual(parameters["DopplerTargets"], "shop/prd_partners/PARTNER_API_KEY")
            self.assertEqual(stack["capabilities"], ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"])
            # Moving must not rotate, because the program may still write the superseded key.
            self.assertEqual(parameters.get("RotateImmediately", "true"), "true" if step == "new" else "false")

    def test_stack_deploys_template_with_code_of_release(self):
        objects = [one["inputs"] for (kind, _), one in self.of["new"].items() if kind.endswith(":BucketObjectv2")]
        [zipped] = [one for one in objects if one["key"].endswith(".zip")]
        [body] = [one for one in objects if one["key"].endswith(".yaml")]
        self.assertIn(hashlib.sha256(b"not a program").hexdigest(), zipped["key"])
        location = f"      CodeUri: s3://releases-1a2b3c/{zipped['key']}\n"
        self.assertEqual(body["content"], template.TEMPLATE.read_text(encoding="utf-8").replace("      CodeUri: .\n", location))
        self.assertIn(hashlib.sha256(body["content"].encode()).hexdigest(), body["key"])
        _, stack = self.parameters("new")
        self.assertEqual(stack["templateUrl"], f"https://releases-1a2b3c.s3.eu-west-1.amazonaws.com/{body['key']}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        run_program(*sys.argv[2:])
    else:
        unittest.main()
