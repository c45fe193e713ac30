"""Reads template.yaml with the long names of its functions, and puts literals in the place of parameters."""

import pathlib
import re

import yaml

PROJECT = pathlib.Path(__file__).resolve().parents[2]
TEMPLATE = PROJECT / "template.yaml"


class _Loader(yaml.SafeLoader):
    pass


def _function(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt":
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _function)
# A date stays a text, as in CloudFormation.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(path=TEMPLATE):
    """Returns the template as JSON would have it."""
    return yaml.load(path.read_text(encoding="utf-8"), _Loader)


def with_literals(value, literals):
    """Replaces references to parameters by their values, also within texts."""
    if isinstance(value, list):
        return [with_literals(one, literals) for one in value]
    if isinstance(value, dict):
        if set(value) == {"Ref"} and value["Ref"] in literals:
            return literals[value["Ref"]]
        return {key: with_literals(one, literals) for key, one in value.items()}
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)\}", lambda name: literals.get(name[1], name[0]), value)
    return value


def normal(value):
    """Removes differences in notation: the form of GetAtt and of numbers, the order of DependsOn, a Split of a literal."""
    if isinstance(value, list):
        return [normal(one) for one in value]
    if isinstance(value, dict):
        if set(value) == {"Fn::GetAtt"} and isinstance(value["Fn::GetAtt"], str):
            return {"Fn::GetAtt": value["Fn::GetAtt"].split(".", 1)}
        if set(value) == {"Fn::Split"} and isinstance(value["Fn::Split"][1], str):
            return value["Fn::Split"][1].split(value["Fn::Split"][0])
        return {key: sorted(one) if key == "DependsOn" else normal(one) for key, one in value.items()}
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
