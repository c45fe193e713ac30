"""Evaluates expressions of Terraform's language, as far as examples/terraform-native uses it. All else is an error."""

import base64
import functools
import hashlib
import json
import pathlib
import re

from lark import Token, Tree

OPERATORS = {
    "==": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
    "<": lambda one, other: one < other,
    ">": lambda one, other: one > other,
    "<=": lambda one, other: one <= other,
    ">=": lambda one, other: one >= other,
}


class EvaluationError(Exception):
    """Terraform would refuse this too, or this evaluator does not know it."""


def _text(value):
    """Converts a value to a string, as Terraform does in a template."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int)):
        return str(value)
    raise EvaluationError(f"not a string: {value!r}")


def _regex(pattern, text):
    # At the end of a pattern, $ is the end of the text in RE2. In Python, a line feed may follow.
    found = re.search(re.sub(r"\$$", r"\\Z", pattern), text)
    if found is None:
        raise EvaluationError(f"{text!r} does not match {pattern!r}")
    return list(found.groups()) or found[0]


def _one(values):
    if len(values) > 1:
        raise EvaluationError(f"more than one: {values}")
    return values[0] if values else None


def _number(text):
    if not re.fullmatch("-?[0-9]+", text):
        raise EvaluationError(f"not a whole number: {text!r}")
    return int(text)


def _merge(*maps):
    return {key: value for one in maps if one is not None for key, value in one.items()}


def _bytes(path):
    return pathlib.Path(path).read_bytes()


FUNCTIONS = {
    "alltrue": all,
    "compact": lambda values: [value for value in values if value],
    "concat": lambda *lists: [value for one in lists for value in one],
    "contains": lambda values, value: value in values,
    "file": lambda path: pathlib.Path(path).read_text(encoding="utf-8"),
    "filebase64sha256": lambda path: base64.b64encode(hashlib.sha256(_bytes(path)).digest()).decode(),
    "fileset": lambda path, pattern: sorted(file.name for file in pathlib.Path(path).glob(pattern)),
    "filesha256": lambda path: hashlib.sha256(_bytes(path)).hexdigest(),
    "join": lambda separator, values: separator.join(values),
    "jsonencode": json.dumps,
    "length": len,
    "lookup": lambda values, key, default: values.get(key, default),
    "merge": _merge,
    "one": _one,
    "regex": _regex,
    "split": lambda separator, text: text.split(separator),
    "substr": lambda text, offset, length: text[offset : offset + length],
    "tonumber": _number,
    "trimspace": str.strip,
    "trimsuffix": str.removesuffix,
}


def trees(node):
    """Returns the parts of a node that are neither punctuation nor comments."""
    return [child for child in node.children if isinstance(child, Tree) and child.data != "new_line_or_comment"]


def name_of(node):
    """Returns the text of an identifier, a label or a key."""
    while isinstance(node, Tree):
        if node.data == "string":
            return "".join(str(part.children[0]) for part in trees(node))
        node = node.children[0]
    return str(node)


class Expressions:
    """Evaluates expressions. Who inherits it has `reference`, which returns the value of a reference."""

    def path(self, node):
        """Returns the names of a reference such as local.region."""
        if node.data == "get_attr_expr_term":
            return [*self.path(node.children[0]), name_of(trees(node)[-1].children[-1])]
        return self.path(node.children[0]) if node.data == "expr_term" else [name_of(node)]

    def evaluate(self, node, scope=None):
        """Returns the value of an expression. `scope` has the variables of `for`, and `each`."""
        return getattr(self, f"_{node.data}")(node, scope or {})

    def _expr_term(self, node, scope):
        [inner] = trees(node)
        return self.evaluate(inner, scope)

    def _literal_value(self, node, scope):
        return {"true": True, "false": False, "null": None}[name_of(node)]

    def _int_lit(self, node, scope):
        return int(name_of(node))

    def _string(self, node, scope):
        return "".join(self._string_part(part, scope) for part in trees(node))

    def _string_part(self, node, scope):
        [part] = node.children
        if isinstance(part, Token) and part.type == "STRING_CHARS":
            return json.loads(f'"{part}"')
        if isinstance(part, Tree) and part.data == "interpolation":
            return _text(self.evaluate(trees(part)[0], scope))
        raise EvaluationError(f"not known: {part}")

    def _heredoc_template_trim(self, node, scope):
        lines = str(node.children[0]).splitlines(keepends=True)[1:-1]
        if any("${" in line or "%{" in line for line in lines):
            raise EvaluationError("a heredoc with an interpolation is not known")
        indent = min(len(line) - len(line.lstrip()) for line in lines)
        return "".join(line[indent:] for line in lines)

    def _tuple(self, node, scope):
        return [self.evaluate(entry, scope) for entry in trees(node)]

    def _object(self, node, scope):
        entries = [trees(entry) for entry in trees(node)]
        return {name_of(key): self.evaluate(value, scope) for key, value in entries}

    def _conditional(self, node, scope):
        condition, yes, no = trees(node)
        return self.evaluate(yes if self.evaluate(condition, scope) else no, scope)

    def _unary_op(self, node, scope):
        [term] = trees(node)
        if str(node.children[0]) != "!":
            raise EvaluationError(f"not known: {node.children[0]}")
        return not self.evaluate(term, scope)

    def _binary_op(self, node, scope):
        left, term = trees(node)
        operator, right = trees(term)
        operator = name_of(operator)
        if operator == "&&":
            return self.evaluate(left, scope) and self.evaluate(right, scope)
        if operator == "||":
            return self.evaluate(left, scope) or self.evaluate(right, scope)
        return OPERATORS[operator](self.evaluate(left, scope), self.evaluate(right, scope))

    def _function_call(self, node, scope):
        name, arguments = name_of(node), trees(trees(node)[1])
        if name in ("can", "try"):
            for argument in arguments:
                try:
                    value = self.evaluate(argument, scope)
                    return True if name == "can" else value
                except EvaluationError:
                    pass
            if name == "can":
                return False
            raise EvaluationError("no argument of try can be evaluated")
        return FUNCTIONS[name](*(self.evaluate(argument, scope) for argument in arguments))

    def _for(self, node, scope):
        """Returns the parts of a `for` expression, and the scope of each of its rounds."""
        intro, *parts = trees(node)
        condition = trees(parts.pop())[0] if parts[-1].data == "for_cond" else None
        *names, source = trees(intro)
        source = self.evaluate(source, scope)
        rounds = source.items() if isinstance(source, dict) else enumerate(source)
        names = [name_of(name) for name in names]
        scopes = [scope | dict(zip(reversed(names), (value, key), strict=False)) for key, value in rounds]
        return parts, [inner for inner in scopes if condition is None or self.evaluate(condition, inner)]

    def _for_tuple_expr(self, node, scope):
        [value], scopes = self._for(node, scope)
        return [self.evaluate(value, inner) for inner in scopes]

    def _for_object_expr(self, node, scope):
        [key, value], scopes = self._for(node, scope)
        return {self.evaluate(key, inner): self.evaluate(value, inner) for inner in scopes}

    def _index_expr_term(self, node, scope):
        term, index = trees(node)
        return self.evaluate(term, scope)[self.evaluate(trees(index)[0], scope)]

    def _full_splat_expr_term(self, node, scope):
        term, splat = trees(node)
        names = [name_of(step.children[-1]) for step in trees(splat)]
        return [functools.reduce(lambda value, name: value[name], names, one) for one in self.evaluate(term, scope)]

    def _identifier(self, node, scope):
        return self.reference([name_of(node)], scope)

    def _get_attr_expr_term(self, node, scope):
        term, step = trees(node)
        names = [*self.path(term), name_of(step.children[-1])] if self.is_path(term) else None
        return self.reference(names, scope) if names else self.evaluate(term, scope)[name_of(step.children[-1])]

    def is_path(self, node):
        if node.data in ("expr_term", "get_attr_expr_term"):
            return self.is_path(trees(node)[0])
        return node.data == "identifier"
