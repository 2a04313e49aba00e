"""From variables to settings, with all problems at once."""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from reconciler.settings import groups
from reconciler.settings.groups import Group
from reconciler.settings.kinds import Allowed, show

EXIT_CODE = 78
"""sysexits' EX_CONFIG."""

_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT\w*)$|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$")
"""Kubernetes gives each pod such variables for each service of its namespace; `jenkins` makes JENKINS_PORT."""

_OTHERS = frozenset({"ARGOCD_AUTH_TOKEN", "ARGOCD_OPTS", "ARGOCD_SERVER", "JENKINS_HOME", "JENKINS_URL"})
"""Names that tools beside us read under prefixes we share."""

_OWN_PREFIX = "RECONCILER_"


class Settings(BaseModel):
    """All settings. `Settings()` has the defaults and checks no required ones; `load` does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kubernetes: groups.Kubernetes = Field(default_factory=groups.Kubernetes)
    rabbitmq: groups.RabbitMQ = Field(default_factory=groups.RabbitMQ)
    messages: groups.Messages = Field(default_factory=groups.Messages)
    jenkins: groups.Jenkins = Field(default_factory=groups.Jenkins)
    argocd: groups.ArgoCD = Field(default_factory=groups.ArgoCD)
    registry: groups.Registry = Field(default_factory=groups.Registry)
    godaddy: groups.GoDaddy = Field(default_factory=groups.GoDaddy)
    git: groups.Git = Field(default_factory=groups.Git)
    outside: groups.Outside = Field(default_factory=groups.Outside)
    deadlines: groups.Deadlines = Field(default_factory=groups.Deadlines)
    deployments: groups.Deployments = Field(default_factory=groups.Deployments)
    environments: groups.Environments = Field(default_factory=groups.Environments)
    records: groups.Records = Field(default_factory=groups.Records)
    agenda: groups.Agenda = Field(default_factory=groups.Agenda)
    drift: groups.Drift = Field(default_factory=groups.Drift)
    proof: groups.Proof = Field(default_factory=groups.Proof)
    web: groups.Web = Field(default_factory=groups.Web)
    log: groups.Log = Field(default_factory=groups.Log)
    shutdown: groups.Shutdown = Field(default_factory=groups.Shutdown)

    def secrets(self) -> Iterator[str]:
        """Give every secret value, for masking; not the defaults, which everybody knows."""
        for knob in knobs():
            value = knob.value_in(self)
            if isinstance(value, SecretStr) and value != knob.field.default:
                yield value.get_secret_value()


@dataclass(frozen=True, slots=True)
class Knob:
    """One setting: where it is found, and how."""

    group: str
    name: str
    kind: type[Group]
    field: FieldInfo
    variables: tuple[str, ...]

    @property
    def variable(self) -> str:
        """The variable's name."""
        return self.variables[0]

    @property
    def is_secret(self) -> bool:
        """Whether the value is hidden everywhere."""
        return self.field.annotation is SecretStr

    @property
    def is_required(self) -> bool:
        """Whether silence is a problem."""
        return self.name in self.kind.required

    @property
    def description(self) -> str:
        """What it is for."""
        return self.field.description or ""

    @property
    def default(self) -> str:
        """The default, as it would be written."""
        return show(self.field.default)

    @property
    def allowed(self) -> str:
        """What may be written."""
        return _allowed(self.field)

    def value_in(self, settings: Settings) -> Any:
        """Return the value."""
        return getattr(getattr(settings, self.group), self.name)

    def set_by(self, environ: Mapping[str, str]) -> str:
        """Return the variable that sets it, empty if none does."""
        return next((variable for variable in self.variables if variable in environ), "")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the configuration.

    Attributes:
        variable: which variable, or several.
        value: as given, hidden where it is a secret; empty when nothing was given.
        rule: what is allowed, or what to do.
    """

    variable: str
    value: str
    rule: str

    def __str__(self) -> str:
        return f"{self.variable}{f'={self.value}' if self.value else ''}: {self.rule}"


class ConfigurationError(Exception):
    """The configuration cannot be used. Holds all problems, and the exit code for them."""

    exit_code = EXIT_CODE

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def knobs() -> tuple[Knob, ...]:
    """Return every setting, in the order of their declaration."""
    return tuple(
        Knob(group, name, kind, kind.model_fields[name], variables)
        for group, kind in _groups().items()
        for name, variables in kind.variables().items()
    )


def load(environ: Mapping[str, str]) -> Settings:
    """Read the settings from variables. Raises ConfigurationError with all problems."""
    problems = [*_mistyped(environ), *_missing(environ)]
    read: dict[str, Group] = {}
    for group, kind in _groups().items():
        read[group], found = _read_group(group, kind, environ)
        problems += found
    if problems:
        raise ConfigurationError(tuple(problems))
    return Settings.model_validate(read)


def _read_group(group: str, kind: type[Group], environ: Mapping[str, str]) -> tuple[Group, list[Problem]]:
    """Read one group; what is wrong in it is left out, so that the rules about several fields are checked too."""
    given = {
        knob.name: environ[variable] for knob in knobs() if knob.group == group and (variable := knob.set_by(environ))
    }
    problems: list[Problem] = []
    while True:
        try:
            return kind.model_validate(given), problems
        except ValidationError as error:
            problems += [_problem(group, details, environ) for details in error.errors()]
            wrong = {str(details["loc"][0]) for details in error.errors() if details["loc"]}
            spelled = kind.variables()
            given = {n: v for n, v in given.items() if wrong and not wrong & {n, *spelled[n]}}


def _groups() -> dict[str, type[Group]]:
    return {name: cast("type[Group]", field.annotation) for name, field in Settings.model_fields.items()}


def _missing(environ: Mapping[str, str]) -> Iterator[Problem]:
    for knob in knobs():
        if knob.is_required and not environ.get(knob.set_by(environ), "").strip():
            yield Problem(knob.variable, "", f"not set; must be {knob.allowed}. {knob.description}")


def _mistyped(environ: Mapping[str, str]) -> Iterator[Problem]:
    known = {variable for knob in knobs() for variable in knob.variables}
    for variable in sorted(set(environ) - known - _OTHERS):
        nearest = _nearest(variable, known)
        if nearest and not _SERVICE_LINK.search(variable):
            yield Problem(variable, "", f"there is no such setting; did you mean {nearest}?")
        elif variable.startswith(_OWN_PREFIX) and not _SERVICE_LINK.search(variable):
            yield Problem(variable, "", "there is no such setting; `reconciler config show` lists them")


def _nearest(variable: str, known: set[str]) -> str:
    """Return the known name of the same prefix that is nearest; the prefix itself must be right, or almost."""
    prefixes = {name.partition("_")[0] for name in known if "_" in name}
    prefix, _, rest = variable.upper().partition("_")
    if not rest or not (near := difflib.get_close_matches(prefix, prefixes, n=1, cutoff=0.85)):
        return ""
    rests = {name.partition("_")[2]: name for name in sorted(known) if name.startswith(f"{near[0]}_")}
    found = difflib.get_close_matches(rest, rests, n=1, cutoff=0.6)
    return rests[found[0]] if found else ""


def _problem(group: str, details: ErrorDetails, environ: Mapping[str, str]) -> Problem:
    if not details["loc"]:
        said = details["msg"].removeprefix("Value error, ")
        return Problem(said.partition(" ")[0], "", said)
    knob = next(knob for knob in knobs() if knob.group == group and details["loc"][0] in {knob.name, *knob.variables})
    variable = knob.set_by(environ) or knob.variable
    value = environ.get(variable, "")
    rule = f"must be {knob.allowed}"
    if details["type"] == "value_error":
        rule += f" ({details['msg'].removeprefix('Value error, ')})"
    if value.startswith("tcp://"):
        rule += " (this is Kubernetes' own variable for a service of that name: set enableServiceLinks to false)"
    return Problem(variable, "(hidden)" if knob.is_secret else repr(_without_user(value)), rule)


def _without_user(value: str) -> str:
    """Hide user information that somebody put into a URL."""
    return re.sub(r"//[^/@]*@", "//(hidden)@", value)


def _allowed(field: FieldInfo) -> str:
    """Say what a field takes, from its type and bounds."""
    said = next((each.what for each in field.metadata if isinstance(each, Allowed)), "") or _allowed_by_type(field)
    lower = [f"more than {show(m.gt)}" for m in field.metadata if isinstance(m, Gt)]
    lower += [f"at least {show(m.ge)}" for m in field.metadata if isinstance(m, Ge)]
    upper = [f"less than {show(m.lt)}" for m in field.metadata if isinstance(m, Lt)]
    upper += [f"at most {show(m.le)}" for m in field.metadata if isinstance(m, Le)]
    bounds = " and ".join(lower + upper)
    return f"{said}, {bounds}" if bounds else said


def _allowed_by_type(field: FieldInfo) -> str:
    annotation = field.annotation
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(map(str, get_args(annotation)))
    names: Mapping[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return names.get(annotation, "text")
