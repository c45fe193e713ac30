"""Evaluates template.yaml for given parameters, as CloudFormation does: conditions, rules, resources and outputs.

A function that it does not know is an error.
"""

import functools
import re

import template

REGION, ACCOUNT = "eu-west-1", "123456789012"


@functools.cache
def source():
    """Returns the template, which is read once."""
    return template.read()


class _NoValue:
    """Marks what `AWS::NoValue` removes."""


class Stack:
    """The template for given parameters. `attributes` returns what AWS chooses: an attribute of a resource, by its logical ID."""

    def __init__(self, name, parameters, attributes):
        self.template = source()
        defaults = {key: str(one["Default"]) for key, one in self.template["Parameters"].items()}
        if unknown := set(parameters) - set(defaults):
            raise ValueError(f"no parameters: {unknown}")
        self.parameters = defaults | parameters
        self.attributes = attributes
        self.pseudo = {
            "AWS::StackName": name,
            "AWS::Region": REGION,
            "AWS::AccountId": ACCOUNT,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::NoValue": _NoValue,
        }

    def accepts_parameters(self):
        """Whether each parameter is one that its declaration accepts."""
        return all(accepts(self.template["Parameters"][name], value) for name, value in self.parameters.items())

    def broken_rules(self):
        """Returns the names of the rules that are not kept."""
        return [
            name
            for name, rule in self.template["Rules"].items()
            if self.value(rule.get("RuleCondition", True)) and not all(self.value(one["Assert"]) for one in rule["Assertions"])
        ]

    def resources(self):
        """Returns the types and properties of the resources that are created, by logical ID."""
        return {
            name: (one["Type"], self.value(one["Properties"]))
            for name, one in self.template["Resources"].items()
            if self.condition(one.get("Condition"))
        }

    def outputs(self):
        return {name: self.value(one["Value"]) for name, one in self.template["Outputs"].items() if self.condition(one.get("Condition"))}

    def condition(self, name):
        return name is None or self.value(self.template["Conditions"][name])

    def value(self, node):
        if isinstance(node, list):
            return [value for value in map(self.value, node) if value is not _NoValue]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            [(function, argument)] = node.items()
            if function in ("Ref", "Condition") or function.startswith("Fn::"):
                return getattr(self, "_" + function.removeprefix("Fn::").lower())(argument)
        values = {key: self.value(one) for key, one in node.items()}
        return {key: value for key, value in values.items() if value is not _NoValue}

    def _ref(self, name):
        for known in (self.parameters, self.pseudo):
            if name in known:
                return known[name]
        return self.attributes(name, None)

    def _condition(self, name):
        return self.condition(name) if isinstance(name, str) else {"Condition": self.value(name)}

    def _getatt(self, path):
        return self.attributes(*path)

    def _if(self, argument):
        condition, yes, no = argument
        return self.value(yes if self.condition(condition) else no)

    def _sub(self, argument):
        text, given = argument if isinstance(argument, list) else (argument, {})
        given = {name: self.value(one) for name, one in given.items()}

        def replace(found):
            name, _, attribute = found[1].partition(".")
            value = given[name] if name in given else self._getatt([name, attribute]) if attribute else self._ref(name)
            return str(value)

        return re.sub(r"\$\{([\w:.]+)\}", replace, text)

    def _split(self, argument):
        separator, text = argument
        return self.value(text).split(separator)

    def _join(self, argument):
        separator, values = argument
        return separator.join(self.value(values))

    def _contains(self, argument):
        values, value = argument
        return self.value(value) in values

    def _equals(self, argument):
        one, other = map(self.value, argument)
        return one == other

    def _and(self, argument):
        return all(map(self.value, argument))

    def _or(self, argument):
        return any(map(self.value, argument))

    def _not(self, argument):
        [one] = argument
        return not self.value(one)


def accepts(declared, value):
    """Whether a parameter's declaration accepts a value."""
    if "AllowedValues" in declared:
        return value in [str(one) for one in declared["AllowedValues"]]
    if declared["Type"] == "Number":
        return re.fullmatch("[0-9]+", value) is not None and int(value) >= declared["MinValue"]
    return re.fullmatch(declared["AllowedPattern"], value) is not None
