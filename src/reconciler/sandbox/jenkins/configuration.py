"""config.xml as the real server keeps it: read into objects and written out again, never byte for byte as it came."""

import base64
import hashlib
import re
from collections.abc import Collection
from copy import deepcopy
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

FOLDER = "com.cloudbees.hudson.plugins.folder.Folder"
PIPELINE = "flow-definition"
FREESTYLE = "project"
_PARAMETERS = "hudson.model.ParametersDefinitionProperty"
_NOT_CONCURRENT = "org.jenkinsci.plugins.workflow.job.properties.DisableConcurrentBuildsJobProperty"
_PLUGINS = {
    PIPELINE: "workflow-job@1571.vb_423c255d6d9",
    FOLDER: "cloudbees-folder@6.1061.vdcff1c3a_b_8fd",
    "hudson.plugins.git.GitSCM": "git@5.8.0",
    "org.jenkinsci.plugins.workflow.cps.CpsFlowDefinition": "workflow-cps@4209.v83c4e257f1e9",
    "org.jenkinsci.plugins.workflow.cps.CpsScmFlowDefinition": "workflow-cps@4209.v83c4e257f1e9",
}
_DEFAULTS = {
    PIPELINE: ("actions", "description", "keepDependencies", "properties", "triggers", "disabled"),
    FREESTYLE: ("description", "properties", "disabled"),
    FOLDER: ("actions", "description", "properties", "healthMetrics"),
}
_DEFAULT_TEXT = {"keepDependencies": "false", "disabled": "false"}
_HEADER = "<?xml version='1.1' encoding='UTF-8'?>\n"
_DECLARATION = re.compile(rb"^\s*<\?xml[^>]*\?>")


class UnreadableError(ValueError):
    """Not XML, or of a class that no plugin knows; the real server answers 500."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter a job declares."""

    name: str
    type: str
    default: str = ""
    choices: tuple[str, ...] = ()


@dataclass
class Configuration:
    """What one item is configured to be, kept as XML with the defaults filled in."""

    root: ET.Element
    parameters: list[Parameter] = field(init=False)

    def __post_init__(self) -> None:
        """Read what the server itself acts on."""
        self.parameters = [_parameter(each) for each in self.root.iterfind(f".//{_PARAMETERS}/parameterDefinitions/*")]

    @property
    def kind(self) -> str:
        """The class of the item: the tag of the root."""
        return self.root.tag

    @property
    def description(self) -> str:
        """The description as people see it."""
        return self.root.findtext("description") or ""

    @property
    def is_concurrent(self) -> bool:
        """Whether several builds may run side by side."""
        return self.root.find(f".//{_NOT_CONCURRENT}") is None

    @property
    def is_disabled(self) -> bool:
        """Whether builds are refused."""
        return self.root.findtext("disabled") == "true"

    def disable(self, *, disabled: bool) -> None:
        """Set or lift the refusal of builds."""
        child = self.root.find("disabled")
        (child if child is not None else ET.SubElement(self.root, "disabled")).text = str(disabled).lower()

    def keep_parameters(self, names: Collection[str]) -> None:
        """Leave only these parameters, as the `parameters` block of a pipeline does after its first run."""
        for definitions in self.root.iterfind(f".//{_PARAMETERS}/parameterDefinitions"):
            for each in list(definitions):
                if each.findtext("name") not in names:
                    definitions.remove(each)
        self.parameters = [each for each in self.parameters if each.name in names]

    def text(self) -> str:
        """Write it as the server does: XML 1.1 header, plugin versions, its own indentation."""
        root = deepcopy(self.root)
        ET.indent(root)
        return _HEADER + ET.tostring(root, encoding="unicode").replace("\r", "&#xd;") + "\n"


def read_configuration(body: bytes) -> Configuration:
    """Read a submitted config.xml; fill in defaults, note plugin versions, encrypt secrets. Raises UnreadableError."""
    root = parse(body)
    if root.tag not in _DEFAULTS:
        raise UnreadableError(f"com.thoughtworks.xstream.mapper.CannotResolveClassException: {root.tag}")
    for element in root.iter():
        _settle(element)
    for name in _DEFAULTS[root.tag]:
        if root.find(name) is None:
            ET.SubElement(root, name).text = _DEFAULT_TEXT.get(name)
    return Configuration(root)


def parse(body: bytes) -> ET.Element:
    """Parse XML whose declaration may say 1.1. Raises UnreadableError."""
    try:
        return ET.fromstring(_DECLARATION.sub(b"", body))  # noqa: S314 - the sandbox reads only what its own user sends
    except ET.ParseError as error:
        raise UnreadableError(f"org.xmlpull.v1.XmlPullParserException: {error}") from error


def encrypted(secret: str) -> str:
    """Return a secret in the form the server keeps it."""
    if secret.startswith("{AQAA"):
        return secret
    return "{AQAA" + base64.b64encode(hashlib.sha256(secret.encode()).digest()).decode() + "}"


def _settle(element: ET.Element) -> None:
    plugin = _PLUGINS.get(element.get("class", element.tag))
    if plugin:
        element.set("plugin", plugin)
    if element.tag in {"authToken", "password", "secret"} and element.text and not len(element):
        element.text = encrypted(element.text)


def _parameter(definition: ET.Element) -> Parameter:
    choices = tuple(each.text or "" for each in definition.iterfind("choices//string"))
    default = definition.findtext("defaultValue") or (choices[0] if choices else "")
    return Parameter(definition.findtext("name") or "", definition.tag.rpartition(".")[2], default, choices)
