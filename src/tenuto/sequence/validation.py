"""Checking a sequence before it runs. Nothing of it is executed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenuto.sequence.workflow import Sequence

__all__ = [
    "BaseValidator",
    "SequenceValidator",
    "ValidationError",
    "ValidationIssue",
    "ValidationResult",
    "ValidationSeverity",
    "ValidationWarning",
    "create_default_validator",
    "validate_sequence",
]


class ValidationSeverity(StrEnum):
    """How much an issue matters: only errors make a sequence invalid."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass
class ValidationIssue:
    """Something about a sequence. `location` says where, `suggestion` what to do."""

    message: str
    severity: ValidationSeverity = ValidationSeverity.INFO
    location: str | None = None
    suggestion: str | None = None

    def __str__(self) -> str:
        return f"{self.severity.value.upper()}: {self.message}"


@dataclass
class ValidationError(ValidationIssue):
    """An issue that makes the sequence invalid. (A finding, not an exception.)"""

    severity: ValidationSeverity = ValidationSeverity.ERROR


@dataclass
class ValidationWarning(ValidationIssue):
    """An issue that is worth a look."""

    severity: ValidationSeverity = ValidationSeverity.WARNING


@dataclass
class ValidationResult:
    """What a validation found."""

    errors: list[ValidationIssue] = field(default_factory=list)
    warnings: list[ValidationIssue] = field(default_factory=list)
    suggestions: list[ValidationIssue] = field(default_factory=list)

    @property
    def is_valid(self) -> bool:
        """True if there are no errors."""
        return not self.errors

    def __bool__(self) -> bool:
        return self.is_valid

    def add(self, issue: ValidationIssue) -> None:
        """Put an issue where its severity says."""
        severity = ValidationSeverity(issue.severity)
        lists = {ValidationSeverity.ERROR: self.errors, ValidationSeverity.WARNING: self.warnings}
        lists.get(severity, self.suggestions).append(issue)

    def get_summary(self) -> str:
        """All of it as text."""
        lines = [f"Validation Status: {'VALID' if self.is_valid else 'INVALID'}"]
        for title, issues in (
            ("Errors", self.errors),
            ("Warnings", self.warnings),
            ("Suggestions", self.suggestions),
        ):
            if issues:
                lines.append(f"{title}: {len(issues)}")
                lines += [f"  - {issue.message}{_hint(issue)}" for issue in issues]
        return "\n".join(lines)

    def raise_if_invalid(self) -> None:
        """Raise ValueError with the summary if there are errors."""
        if self.errors:
            raise ValueError(self.get_summary())


def _hint(issue: ValidationIssue) -> str:
    return f" ({issue.suggestion})" if issue.suggestion else ""


class BaseValidator(ABC):
    """Base of validators: define `validate`."""

    @property
    def validator_name(self) -> str:
        """Its name, in issues about itself."""
        return type(self).__name__

    @abstractmethod
    def validate(self, sequence: Sequence) -> Iterable[ValidationIssue] | ValidationResult | None:
        """The issues of a sequence."""


class SequenceValidator:
    """Several validators, one after the other. One that fails is reported as an error of its own."""

    def __init__(self, validators: Iterable[BaseValidator] = ()) -> None:
        self.validators = list(validators)

    def add_validator(self, validator: BaseValidator) -> SequenceValidator:
        """Add one; returns this validator."""
        self.validators.append(validator)
        return self

    def validate_sequence(self, sequence: Sequence) -> ValidationResult:
        """What all of them found, in their order."""
        result = ValidationResult()
        for validator in self.validators:
            try:
                for issue in _issues(validator.validate(sequence)):
                    result.add(issue)
            except Exception as error:  # noqa: BLE001 - reported
                name = getattr(validator, "validator_name", type(validator).__name__)
                result.add(ValidationError(f"validator {name} failed: {type(error).__name__}: {error}"))
        return result

    def get_validation_report(self, sequence: Sequence) -> str:
        """`validate_sequence` as text."""
        return self.validate_sequence(sequence).get_summary()


def _issues(found: Iterable[ValidationIssue] | ValidationResult | None) -> list[ValidationIssue]:
    if isinstance(found, ValidationResult):
        return [*found.errors, *found.warnings, *found.suggestions]
    return list(found or ())


def create_default_validator() -> SequenceValidator:
    """The validator of `validate_sequence`: cycles, dependencies, schema."""
    from tenuto.sequence.validators import CycleDetectionValidator, DependencyValidator, SchemaValidator

    return SequenceValidator([CycleDetectionValidator(), DependencyValidator(), SchemaValidator()])


def validate_sequence(sequence: Sequence, validators: Iterable[BaseValidator] | None = None) -> ValidationResult:
    """Check a sequence without running anything: with the default validators, or with these instead."""
    validator = create_default_validator() if validators is None else SequenceValidator(validators)
    return validator.validate_sequence(sequence)
