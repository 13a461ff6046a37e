"""validate_sequence."""

from __future__ import annotations

from typing import Any

import pytest

from tenuto.sequence import (
    BaseValidator,
    Sequence,
    SequenceValidator,
    TypeMismatchWarning,
    ValidationError,
    ValidationIssue,
    ValidationWarning,
    _,
    create_default_validator,
    decision,
    node,
    parallel,
    type_checking_mode,
    validate_sequence,
)


def nodes(*names: str) -> Any:
    def never(x: Any) -> None:
        raise AssertionError("a validation runs nothing")

    return [node(name)(never) for name in names]


a, b, c, d = nodes(*"abcd")


@pytest.mark.parametrize(
    "stages",
    [
        (a,),
        (a >> b >> c >> d,),
        (a >> parallel(b, c) >> d,),
        (a >> parallel(b, b, b) >> d,),
        (a >> parallel(b, b.alias("b")),),
        (a >> a.alias("again"),),
        (a >> decision(1 >> a, 2 >> b, max_iter=3),),
        (a >> b >> decision(1 >> a, _ >> c) >> d,),
        (a >> decision(1 >> (b >> a), 2 >> (b >> c)),),
        (Sequence(a >> b) >> Sequence(a >> b),),
        (a >> Sequence(a >> b),),
    ],
)
def test_no_noise_about_what_is_right(stages: tuple[Any, ...]) -> None:
    result = validate_sequence(Sequence(*stages))
    assert result.is_valid
    assert result
    assert (result.errors, result.warnings, result.suggestions) == ([], [], [])
    assert result.get_summary() == "Validation Status: VALID"
    result.raise_if_invalid()


def test_the_same_node_twice_on_a_path_is_a_cycle() -> None:
    for stages, cycle in (
        (a >> b >> a, "a -> b -> a"),
        (a >> a, "a -> a"),
        (b >> parallel(a >> c >> a, d), "a -> c -> a"),
        (a >> decision(1 >> (b >> c >> b), 2 >> d), "b -> c -> b"),
    ):
        result = validate_sequence(Sequence(stages))
        assert not result.is_valid
        assert "cycle" in result.errors[0].message.lower()
        assert result.errors[0].message == f"Cycle detected: {cycle}"
        with pytest.raises(ValueError, match="Cycle detected"):
            result.raise_if_invalid()


@pytest.mark.parametrize("link", ["attribute", "connect", "to itself"])
def test_cycles_made_by_hand(link: str) -> None:
    first, second, third = nodes("first", "second", "third")
    workflow = Sequence(first >> second >> third)
    if link == "attribute":
        third.next_node = first
    elif link == "connect":
        third.connect(second)
    else:
        third.next_node = third
    message = validate_sequence(workflow).errors[0].message
    expected = {"attribute": "first -> second -> third -> first", "connect": "second -> third -> second"}
    assert message == f"Cycle detected: {expected.get(link, 'third -> third')}"


def test_links_forward_are_no_cycles() -> None:
    first, second, third = nodes("first", "second", "third")
    first.next_node = second
    second.connect(third)
    assert validate_sequence(Sequence(first >> second)).is_valid


def test_a_loop_without_a_way_out_is_a_cycle() -> None:
    forever = Sequence(a >> b >> decision(1 >> a, _ >> b))
    assert "Cycle" in validate_sequence(forever).errors[0].message


def test_sequences_nested_in_each_other() -> None:
    inner = Sequence(a, name="inner")
    outer = Sequence(b >> inner, name="outer")
    inner.stages = (outer,)
    (error,) = validate_sequence(outer).errors
    assert error.message == "Cycle detected: outer -> inner -> outer"


def test_blocks_and_decisions_that_cant_work() -> None:
    choice, block = decision(1 >> a, 2 >> b), parallel(c)
    choice.branches, block.branches = choice.branches[:1], ()
    result = validate_sequence(Sequence(d >> choice >> block >> parallel(a, b, max_concurrent=0)))
    assert [error.message for error in result.errors] == [
        "decision 'decision' has 1 branches, fewer than 2",
        "a parallel block has no branches",
        "max_concurrent of a parallel block is 0, so no branch could run",
    ]


def test_nothing_and_nonsense() -> None:
    assert validate_sequence(Sequence(name="empty")).errors[0].message == "sequence 'empty' has no nodes"
    assert "is no Sequence" in validate_sequence(a >> b).errors[0].message  # type: ignore[arg-type]
    assert "is no Sequence" in validate_sequence(5).errors[0].message  # type: ignore[arg-type]


def test_type_mismatches_are_suggestions_or_errors() -> None:
    @node
    def text() -> str:
        return ""

    @node
    def number(n: int) -> int:
        return n

    with pytest.warns(TypeMismatchWarning):
        workflow = Sequence(text >> number)
    result = validate_sequence(workflow)
    assert (result.is_valid, result.warnings) == (True, [])
    assert result.suggestions[0].message == "Type mismatch: text returns str but number expects int"
    with type_checking_mode(strict=True):
        assert not validate_sequence(workflow).is_valid


class Naming(BaseValidator):
    def validate(self, sequence: Sequence) -> Any:
        yield ValidationWarning(f"{sequence.name} is no good name", suggestion="think of a better one")
        yield ValidationIssue("it could be shorter")


class Broken(BaseValidator):
    @property
    def validator_name(self) -> str:
        return "the broken one"

    def validate(self, sequence: Sequence) -> Any:
        raise RuntimeError("oh")


def test_own_validators() -> None:
    validator = SequenceValidator().add_validator(Naming()).add_validator(Broken())
    workflow = Sequence(a >> a, name="w")
    result = validator.validate_sequence(workflow)
    assert [str(issue) for issue in (*result.errors, *result.warnings, *result.suggestions)] == [
        "ERROR: validator the broken one failed: RuntimeError: oh",
        "WARNING: w is no good name",
        "INFO: it could be shorter",
    ]
    assert validator.get_validation_report(workflow) == (
        "Validation Status: INVALID\n"
        "Errors: 1\n  - validator the broken one failed: RuntimeError: oh\n"
        "Warnings: 1\n  - w is no good name (think of a better one)\n"
        "Suggestions: 1\n  - it could be shorter"
    )
    assert validate_sequence(workflow, [Naming()]).is_valid
    added = create_default_validator().add_validator(Naming()).validate_sequence(workflow)
    assert (len(added.errors), len(added.warnings)) == (1, 1)
    assert str(ValidationError("x")) == "ERROR: x"
