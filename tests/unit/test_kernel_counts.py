"""Kernels that count no holders of arrays give none back: its memory could be freed while somebody reads it."""

import ast
from pathlib import Path

import bandits.kernels

KERNELS = Path(str(bandits.kernels.__file__)).parent
ARRAYS = {"F32", "F64", "I16", "I64", "Mask", "NDArray", "Room"}
NUMBERS = {"None", "bool", "int", "float", "Lanes"}


def uncounted() -> dict[str, ast.FunctionDef]:
    """By name what is decorated with `kernel(..., counts=False)`."""
    found = {}
    for path in KERNELS.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and any(
                "counts=False" in ast.unparse(one) for one in node.decorator_list
            ):
                found[f"{path.stem}.{node.name}"] = node
    return found


def returned(node: ast.FunctionDef) -> set[str]:
    """The names in the annotation of what it returns, of a tuple those of its items."""
    assert node.returns is not None
    names = {one.id for one in ast.walk(node.returns) if isinstance(one, ast.Name)} - {"tuple"}
    return names or {ast.unparse(node.returns)}


def test_none_gives_an_array_back() -> None:
    found = uncounted()
    assert "featurize._mean_over_tags" in found
    assert {name: returned(node) for name, node in found.items() if not returned(node) <= NUMBERS} == {}


def test_none_calls_one_that_gives_an_array() -> None:
    """Nobody would let go of it."""
    given = {
        node.name
        for path in KERNELS.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.returns is not None
        if returned(node) & ARRAYS or "ndarray" in ast.unparse(node.returns)
    }
    assert {"scratch_of", "_facts"} <= given
    called = {
        (name, call.func.id)
        for name, node in uncounted().items()
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    }
    assert ("slot.slot_pmf", "best_of") in called
    assert {pair for pair in called if pair[1] in given} == set()


def test_an_array_and_a_tuple_with_one_are_seen() -> None:
    made = ast.parse("def a() -> F64: ...\ndef b() -> tuple[int, F32]: ...\ndef c() -> NDArray[np.bool_]: ...").body
    assert [returned(node) <= NUMBERS for node in made if isinstance(node, ast.FunctionDef)] == [False] * 3
