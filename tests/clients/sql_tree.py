"""Statements as trees that two engines can be asked: one shape, two texts, and an answer by hand where there is one.

    Node(type, parts) ─▶ text(node, "ingot"), text(node, "duckdb") ─▶ the same question
                      └▶ value(node, row): what the written rules say, where `calc` is given (sql_rules.py)

A part is text, a pair of texts where the engines spell it differently, a node, or a `Items` list whose members may be
left out when a statement is made smaller.
"""

import copy

INGOT, DUCKDB = "ingot", "duckdb"


class Node:
    __slots__ = ("type", "parts", "calc")

    def __init__(self, type_, *parts, calc=None):
        self.type, self.parts, self.calc = type_, list(parts), calc

    def kids(self):
        return [p for p in self.parts if isinstance(p, Node)]


class Items:
    """Nodes of equal standing: the columns of a SELECT, the conditions of a WHERE. `least` of them must stay."""

    def __init__(self, nodes, between=", ", least=1, before="", after=""):
        self.nodes, self.between, self.least = list(nodes), between, least
        self.before, self.after = before, after         # only if there is any


class Literal:
    """A constant that a client may bind as a parameter instead."""

    def __init__(self, sql, bound):
        self.sql, self.bound = sql, bound


def text(node, engine=INGOT, bound=None):
    """The statement for an engine; with a list in `bound`, literals become `?` and their values go there."""
    out = []
    for part in node.parts:
        if isinstance(part, str):
            out.append(part)
        elif isinstance(part, Literal):
            out.append(part.sql if bound is None else "?")
            if bound is not None:
                bound.append(part.bound)
        elif isinstance(part, tuple):
            out.append(part[0] if engine == INGOT else part[1])
        elif isinstance(part, Items):
            if part.nodes:
                out.append(part.before + part.between.join(text(n, engine, bound) for n in part.nodes) + part.after)
        else:
            out.append(text(part, engine, bound))
    return "".join(out)


def value(node, row):
    """What the rules say of an expression over a row."""
    return node.calc(row, *node.kids())


def walk(node):
    yield node
    for part in node.parts:
        if isinstance(part, Node):
            yield from walk(part)
        elif isinstance(part, Items):
            for n in part.nodes:
                yield from walk(n)


def nullary(type_):
    """The plainest expressions of a type, to put in the place of a larger one."""
    return {"int": ["1", "NULL"], "double": ["1e0"], "text": ["'a'"], "bool": ["TRUE", "(1 = NULL)"]}.get(type_, [])


def smaller(root):
    """Trees with one thing less, the largest cuts first."""
    cuts = []

    def visit(node, path):
        for at, part in enumerate(node.parts):
            here = path + [at]
            if isinstance(part, Items):
                for i, n in enumerate(part.nodes):
                    if len(part.nodes) > part.least:
                        cuts.append((len(text(n)), here + [i], None))
                    replace(n, here + [i])
                    visit(n, here + [i])
            elif isinstance(part, Node):
                replace(part, here)
                visit(part, here)

    def replace(node, path):
        size = len(text(node))
        if node.type is None:
            return
        for inner in walk(node):
            if inner is not node and inner.type == node.type and len(text(inner)) < size:
                cuts.append((size - len(text(inner)), path, inner))
        for plain in nullary(node.type):
            if len(plain) < size:
                cuts.append((size - len(plain) - 1, path, Node(node.type, plain)))

    visit(root, [])
    for _, path, by in sorted(cuts, key=lambda c: -c[0]):
        yield apply(root, path, by)


def apply(root, path, by):
    """A copy of the tree with the node at the path replaced, or, in a list, left out."""
    new = copy.copy(root)
    new.parts = list(root.parts)
    at, rest = path[0], path[1:]
    part = new.parts[at]
    if isinstance(part, Items):
        part = copy.copy(part)
        part.nodes = list(part.nodes)
        i, rest = rest[0], rest[1:]
        if rest:
            part.nodes[i] = apply(part.nodes[i], rest, by)
        elif by is None:
            del part.nodes[i]
        else:
            part.nodes[i] = by
        new.parts[at] = part
    else:
        new.parts[at] = apply(part, rest, by) if rest else by
    return new


def shrink(root, still_wrong, tries):
    """The smallest tree found within so many tries that is still wrong."""
    left = tries
    while left > 0:
        for candidate in smaller(root):
            left -= 1
            if left <= 0:
                break
            if still_wrong(candidate):
                root = candidate
                break
        else:
            break
    return root
