"""Evaluates a Terraform module without Terraform: its locals, resources, outputs, validations and preconditions."""

import functools
import json
import pathlib

import hcl2
from expressions import EvaluationError, Expressions, name_of, trees
from lark import Token, Tree

def source_of(node):
    """Returns an expression as it is written, without white space."""
    return str(node) if isinstance(node, Token) else "".join(map(source_of, node.children))


class Block:
    """A block: its type, its labels, its attributes as expressions, and the blocks in it."""

    def __init__(self, node):
        head = [child for child in node.children if isinstance(child, Tree) and child.data not in ("body", "new_line_or_comment")]
        self.kind, *self.labels = [name_of(child) for child in head]
        [body] = [child for child in trees(node) if child.data == "body"]
        self.attributes, self.blocks = contents(body)

    def inner(self, kind):
        return [block for block in self.blocks if block.kind == kind]


def contents(body):
    """Returns the attributes of a body by name, and its blocks."""
    attributes = {name_of(node.children[0]): trees(node)[-1] for node in trees(body) if node.data == "attribute"}
    return attributes, [Block(node) for node in trees(body) if node.data == "block"]


@functools.cache
def parse(folder):
    """Returns the blocks of all files of a module."""
    files = sorted(pathlib.Path(folder).glob("*.tf"))
    bodies = [trees(hcl2.parses_to_tree(file.read_text(encoding="utf-8")))[0] for file in files]
    return [block for body in bodies for block in contents(body)[1]]


class Module(Expressions):
    """A module with values for its variables.

    `computed` returns the attributes of a resource that AWS chooses, from its address and its own attributes; `data`
    holds those of the data sources.
    """

    def __init__(self, folder, variables, computed, data):
        blocks = parse(folder)
        self.computed, self.data = computed, data
        self.variables = {block.labels[0]: block for block in blocks if block.kind == "variable"}
        self.outputs = {block.labels[0]: block for block in blocks if block.kind == "output"}
        self.blocks = {tuple(block.labels): block for block in blocks if block.kind == "resource"}
        self.locals = {name: node for block in blocks if block.kind == "locals" for name, node in block.attributes.items()}
        defaults = {name: block.attributes["default"] for name, block in self.variables.items() if "default" in block.attributes}
        self.values = {name: self.evaluate(node) for name, node in defaults.items()} | variables
        if unknown := set(self.values) - set(self.variables):
            raise EvaluationError(f"no variables: {unknown}")
        self.known = {}

    # Blocks.

    def resources(self):
        """Returns the attributes of each resource by address, without what AWS chooses."""
        self.instances()
        return {address: own for place in self.blocks for address, own, _ in self.known[place].values()}

    def instances(self):
        for place in self.blocks:
            self.resource(*place)

    def resource(self, kind, name):
        """Returns the value of a reference to a resource: one object, or a list or map of them."""
        place, block = (kind, name), self.blocks[kind, name]
        if place not in self.known:
            self.known[place] = {}
            if "count" in block.attributes:
                keys = {index: {} for index in range(self.evaluate(block.attributes["count"]))}
            elif "for_each" in block.attributes:
                entries = self.evaluate(block.attributes["for_each"])
                keys = {key: {"each": {"key": key, "value": value}} for key, value in entries.items()}
            else:
                keys = {None: {}}
            for key, scope in keys.items():
                address = f"{kind}.{name}" + ("" if key is None else f"[{json.dumps(key)}]")
                own = self.body(block, scope)
                self.known[place][key] = (address, own, own | self.computed(address, own))
        found = {key: full for key, (_, _, full) in self.known[place].items()}
        if "count" in block.attributes:
            return list(found.values())
        return found if "for_each" in block.attributes else found[None]

    def body(self, block, scope):
        left_out = {"count", "for_each", "depends_on"}
        values = {name: self.evaluate(node, scope) for name, node in block.attributes.items() if name not in left_out}
        for inner in block.blocks:
            if inner.kind == "dynamic":
                [content] = inner.inner("content")
                entries = self.evaluate(inner.attributes["for_each"], scope)
                values.setdefault(inner.labels[0], []).extend(self.body(content, scope) for _ in entries)
            elif inner.kind != "lifecycle":
                values.setdefault(inner.kind, []).append(self.body(inner, scope))
        return values

    def dependencies(self, kind, name):
        """Returns the resources in `depends_on`, as they are written."""
        node = self.blocks[kind, name].attributes["depends_on"]
        return {".".join(self.path(entry)) for entry in trees(node.children[0])}

    def refusals(self):
        """Returns the messages of validations and preconditions that are not met."""
        checks = [check for block in self.variables.values() for check in block.inner("validation")]
        for block in self.blocks.values():
            checks += [check for lifecycle in block.inner("lifecycle") for check in lifecycle.inner("precondition")]
        return [self.evaluate(check.attributes["error_message"]) for check in checks if not self.evaluate(check.attributes["condition"])]

    def accepts(self, name, value):
        """Whether the validations of a variable accept a value."""
        self.values[name] = value
        return all(self.evaluate(check.attributes["condition"]) for check in self.variables[name].inner("validation"))

    def output(self, name):
        return self.evaluate(self.outputs[name].attributes["value"])

    def reference(self, names, scope):
        """Returns the value of a reference such as var.name, a variable of `for`, or a resource."""
        first, *rest = names
        if first in scope:
            value = scope[first]
        elif first == "var":
            value, rest = self.values[rest[0]], rest[1:]
        elif first == "local":
            value, rest = self.local(rest[0]), rest[1:]
        elif first == "data":
            value, rest = self.data[rest[0]], rest[2:]
        else:
            value, rest = self.resource(first, rest[0]), rest[1:]
        return functools.reduce(lambda value, name: value[name], rest, value)

    def local(self, name):
        if name not in self.known:
            self.known[name] = self.evaluate(self.locals[name])
        return self.known[name]
