"""The variables of examples/terraform-native: they are the template's parameters, and accept the same values.

Needs the packages of tests/tools/terraform.txt. Run it with `make iac`.
"""

import random
import re
import unittest
from re import _constants as constants
from re import _parser as patterns

import hcl
from cloudformation import accepts, source
from counterparts import snake
from native import CHANGES, FOLDER, LEFT_OUT, WAYS, module

# What has no parameter.
OWN = {"name", "release", "tags", "sends_notices_to_topic"}
LABEL = "a" * 63
HOST = f"{'a.' * 20}example"
TARGET = "a/b/KEY_{}"
# Values at the limits of the template, and values that it does not accept.
LIMITS = {
    "SecretName": ["a" * 512, "a" * 513, "a b", "a\n"],
    "SecretDescription": ["a" * 2048, "a" * 2049, "two\nlines", "a\n"],
    "UsagePlanIds": [",".join(["a1"] * 10), ",".join(["a1"] * 11), "a" * 64, "a" * 65, "a1,", "*"],
    "StageKeys": [",".join(["a1/prod"] * 10), ",".join(["a1/prod"] * 11), "my-api/prod"],
    "ProbeUrl": [
        f"https://{HOST}/{'x' * 1999}",
        f"https://{HOST}/{'x' * 2000}",
        f"https://{HOST}/{'x' * 2001}",
        f"https://a.{HOST}/",
        f"https://{LABEL}.example.com:65535?a",
        f"https://a{LABEL}.example.com/",
        "https://example.com:65536/",
        "https://xn--a/",
        "https://a.Xn--a.example.com/",
        "https://example.com/a.xn--b",
        "https://example.com?a.xn--b",
        "https://user@example.com/",
        "https://1.2.3.4/",
        "http://example.com/",
        "https://example.com/\u00fc",
        "https://example.com\n",
    ],
    "DopplerTargets": [
        ",".join(TARGET.format(number) for number in range(50)),
        ",".join(TARGET.format(number) for number in range(51)),
        f"a/b/{'K' * 200}",
        f"a/b/{'K' * 201}",
        *(f"a/b/{name}" for name in ("PATH", "HOME", "PS1", "LD_PRELOAD", "DOPPLER_TOKEN", "PATHS", "HOME_2", "LD", "D", "key")),
        "a/LD_x/KEY",
        "a/PATH/KEY",
        "a/b/PATH,a/b/C",
        "a/b/C,a/b/PS1",
        "a/b/c/D,a/c/D",
        "a/b/c/d/E",
        "a/b/C,",
    ],
    "DopplerApiUrl": ["", f"https://{HOST}", f"https://a.{HOST}", "https://xn--a", "https://a.xn--b", "https://a/b.xn--c", "https://a?b", "https://a:1/"],
    "DocumentationUrl": ["", "docs", "a/b/c/d/e", "a/b/c/d/e/f", "a" * 61, "https://xn--a/b", "https://a.b.c.d.e", "https://a.b.c.d.e.f", "https://a/xn--b"],
    "HttpsProxy": [
        "https://10.0.0.255",
        "http://10.0.0.256:3128",
        "http://proxy:0",
        "http://user:word@proxy:1",
        "http://proxy/",
        f"http://{HOST}:1",
        f"http://a.{HOST}:1",
        "socks5://proxy:1080",
    ],
    "NoProxy": [
        "*",
        ".example.com,localhost,10.0.0.0/8",
        "10.0.0.0/33",
        "10.0.0",
        "*.example.com",
        ",".join(["a"] * 50),
        ",".join(["a"] * 51),
        HOST,
        f"a.{HOST}",
        "a,",
        "10.0.0.1/8,256.1.1.1",
    ],
    "CurrentKeyMaxAgeDays": ["0", "1", "365", "-1", "a", ""],
    "DopplerAdoptTargets": ["a/b/PATH", "a/b/C"],
    "ReservedConcurrency": ["1", "2", "9999", "10000"],
    "RolePath": ["/", "/a/", "a/", "/a/b/c/d/e/f/g/", "/a/b/c/d/e/f/g/h/"],
}
LETTERS = " ,/-_.:%*AZaz09@\n"


def candidates(name, chosen):
    """Returns values for a parameter: those above, and each changed in one place."""
    values = [source()["Parameters"][name]["Default"], *LIMITS.get(name, [])]
    values = [str(value) for value in values] + [change[name] for change in (*WAYS, *CHANGES) if name in change]
    yield from values
    for _ in range(300):
        value = chosen.choice(values)
        place = chosen.randrange(len(value) + 1)
        yield value[:place] + chosen.choice([*LETTERS, ""]) + value[place + chosen.randrange(2) :]


def most_repeated(pattern):
    """Returns how often the innermost part of a pattern is repeated at most, and refuses what RE2 does not know."""
    most = 1
    for kind, argument in pattern:
        if kind in (constants.ASSERT, constants.ASSERT_NOT, constants.GROUPREF, constants.ATOMIC_GROUP, constants.POSSESSIVE_REPEAT):
            raise ValueError(f"RE2 has no {kind}")
        if kind in (constants.MAX_REPEAT, constants.MIN_REPEAT):
            _, highest, inner = argument
            most = max(most, most_repeated(inner) * (1 if highest == constants.MAXREPEAT else highest))
        elif kind == constants.SUBPATTERN:
            most = max(most, most_repeated(argument[-1]))
        elif kind == constants.BRANCH:
            most = max(most, *map(most_repeated, argument[1]))
    return most


def default_of(block):
    return f"`{hcl.source_of(block.attributes['default'])}`" if "default" in block.attributes else "required"


class Variables(unittest.TestCase):
    def setUp(self):
        self.module = module("release", {})

    def test_variables_are_parameters_of_template(self):
        declared = self.module.variables
        self.assertEqual(set(declared), {snake(name) for name in source()["Parameters"] if name not in LEFT_OUT} | OWN)
        for name, parameter in source()["Parameters"].items():
            if name in LEFT_OUT:
                continue
            block = declared[snake(name)]
            self.assertEqual(self.module.values[snake(name)], str(parameter["Default"]), name)
            self.assertEqual(self.module.evaluate(block.attributes["description"]), parameter["Description"].strip(), name)
            self.assertEqual(hcl.source_of(block.attributes["type"]), "string", name)
            [check] = block.inner("validation")
            if "ConstraintDescription" in parameter:
                message = self.module.evaluate(check.attributes["error_message"])
                self.assertEqual(message, f"Expected: {parameter['ConstraintDescription'].strip()}.", name)

    def test_validations_accept_what_template_accepts(self):
        chosen = random.Random(1)
        for name, parameter in source()["Parameters"].items():
            if name in LEFT_OUT:
                continue
            answers = set()
            for value in candidates(name, chosen):
                answer = accepts(parameter, value)
                answers.add(answer)
                self.assertEqual(self.module.accepts(snake(name), value), answer, f"{name}={value!r}")
            self.assertEqual(answers, {True, False}, name)

    def test_page_lists_inputs_and_outputs(self):
        page = (FOLDER / "README.md").read_text(encoding="utf-8")
        rows = [f"| `{name}` | {self.described(block)} | {default_of(block)} |" for name, block in self.module.variables.items()]
        rows += [f"| `{name}` | {self.described(block)} |" for name, block in self.module.outputs.items()]
        listed = [line for line in page.split("## Inputs")[1].splitlines() if line.startswith("| `")]
        self.assertEqual(listed, rows)

    def described(self, block):
        return self.module.evaluate(block.attributes["description"]).replace("|", "/")

    def test_name_of_function_is_limited(self):
        for name, is_accepted in [("a", True), ("a" * 48, True), ("a" * 49, False), ("1a", False), ("a_b", False), ("", False)]:
            self.assertEqual(self.module.accepts("name", name), is_accepted, name)

    def test_terraform_can_compile_every_pattern(self):
        count = 0
        for file in FOLDER.glob("*.tf"):
            for written in re.findall(r'regex\("((?:[^"\\]|\\.)*)"', file.read_text(encoding="utf-8")):
                count += 1
                # Go's package regexp refuses more.
                self.assertLessEqual(most_repeated(patterns.parse(written.replace("\\\\", "\\"))), 1000, written)
        self.assertGreater(count, 40)
        for refused in ("(?!a)b", "(a{11}){100}", "a{1001}", "(?:a|b{0,501}){2}"):
            with self.assertRaises((ValueError, AssertionError), msg=refused):
                self.assertLessEqual(most_repeated(patterns.parse(refused)), 1000)


if __name__ == "__main__":
    unittest.main()
