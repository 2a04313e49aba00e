"""config.xml in our words: what we write, and what we read of it after Jenkins has written it anew."""

import re
from collections.abc import Iterable
from typing import Final
from xml.etree import ElementTree as ET

import orjson

from reconciler.domain.errors import Invalid, Unavailable
from reconciler.domain.outside.builds import GitLogin, Job, JobPath, JobShape
from reconciler.domain.ownership import Marker, find_marker

FOLDER: Final = "com.cloudbees.hudson.plugins.folder.Folder"
_PIPELINE = "flow-definition"
_INLINE = "org.jenkinsci.plugins.workflow.cps.CpsFlowDefinition"
_FROM_GIT = "org.jenkinsci.plugins.workflow.cps.CpsScmFlowDefinition"
_DECLARED = "hudson.model.ParametersDefinitionProperty"
_STRING = "hudson.model.StringParameterDefinition"
_ALONE = "org.jenkinsci.plugins.workflow.job.properties.DisableConcurrentBuildsJobProperty"
_OURS = "freeleaps.com/"
_GIT = f"{_OURS}git="
_HEADER = "<?xml version='1.0' encoding='UTF-8'?>\n"
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_FORBIDDEN_REFERENCE = re.compile(r"&#(?:x0*(?:[0-8bcef]|1[0-9a-f])|0*(?:[0-8]|1[124-9]|2\d|3[01]));", re.IGNORECASE)


def folder_xml(marker: Marker) -> str:
    """Write a folder that is known as ours."""
    root = ET.Element(FOLDER)
    _add(root, "description", marker.text())
    return _written(root)


def job_xml(shape: JobShape, marker: Marker, existing: str = "") -> str:
    """Write a job of this shape; of an existing one keep all that is not ours to say.

    Raises:
        Invalid: the shape has characters that XML cannot hold, or the existing job is of a kind that we do not make.
    """
    root = parse(existing) if existing else ET.Element(_PIPELINE)
    if root.tag != _PIPELINE:
        raise Invalid("the job is not a pipeline; delete it or name another job", field="job")
    description = _described(root.findtext("description") or "", shape, marker)
    _replace(root, "description", text=description)
    properties = root.find("properties")
    properties = ET.SubElement(root, "properties") if properties is None else properties
    for old in [each for each in properties if each.tag in {_DECLARED, _ALONE}]:
        properties.remove(old)
    properties.append(_declaration(shape.parameters))
    _replace(root, "definition", element=_definition(shape))
    _replace(root, "disabled", text="false")
    return _written(root)


def read_job(path: JobPath, text: str) -> Job:
    """Read a job's config.xml. Raises Unavailable when it is not XML: some proxy answered."""
    root = parse(text)
    description = root.findtext("description") or ""
    shape = _read_shape(root, description) if root.tag == _PIPELINE else None
    return Job(path, find_marker(description), shape)


def credential_xml(login: GitLogin, marker: Marker) -> str:
    """Write a credential whole, as Jenkins demands: what comes back redacted must never be sent."""
    if login.ssh_private_key:
        root = ET.Element("com.cloudbees.jenkins.plugins.sshcredentials.impl.BasicSSHUserPrivateKey")
    else:
        root = ET.Element("com.cloudbees.plugins.credentials.impl.UsernamePasswordCredentialsImpl")
    _add(root, "scope", "GLOBAL")
    _add(root, "id", login.id)
    _add(root, "description", marker.text())
    _add(root, "username", login.username or ("git" if login.ssh_private_key else ""))
    if login.ssh_private_key:
        source = _add(root, "privateKeySource")
        source.set("class", f"{root.tag}$DirectEntryPrivateKeySource")
        _add(source, "privateKey", login.ssh_private_key)
    else:
        _add(root, "password", login.password)
    return _written(root)


def parse(text: str) -> ET.Element:
    """Parse XML 1.0 or 1.1; control characters, which 1.1 may name, become `?`. Raises Unavailable."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise Unavailable("Jenkins answered with a document type where its config.xml has none", system="jenkins")
    try:
        plain = _FORBIDDEN_REFERENCE.sub("?", _DECLARATION.sub("", text))
        return ET.fromstring(plain)  # noqa: S314 - without document type there are no entities to expand
    except ET.ParseError as error:
        raise Unavailable("Jenkins answered with something that is not XML", system="jenkins") from error


def _described(old: str, shape: JobShape, marker: Marker) -> str:
    """Write the description: others' lines stay; an inline pipeline's git is told here, it has no other place."""
    kept = [line for line in old.splitlines() if not line.startswith(_OURS)]
    git = [shape.git_url, shape.branch, shape.script_path, shape.credentials_id]
    told = [_GIT + orjson.dumps(git).decode()] if shape.script and any(git) else []
    return "\n".join([marker.text(), *told, *kept])


def _declaration(names: Iterable[str]) -> ET.Element:
    declaration = ET.Element(_DECLARED)
    definitions = _add(declaration, "parameterDefinitions")
    for name in names:
        definition = _add(definitions, _STRING)
        _add(definition, "name", name)
        _add(definition, "defaultValue")
        _add(definition, "trim", "false")
    return declaration


def _definition(shape: JobShape) -> ET.Element:
    definition = ET.Element("definition", {"class": _INLINE if shape.script else _FROM_GIT})
    if shape.script:
        _add(definition, "script", shape.script)
        _add(definition, "sandbox", "true")
        return definition
    scm = _add(definition, "scm")
    scm.set("class", "hudson.plugins.git.GitSCM")
    _add(scm, "configVersion", "2")
    remote = _add(_add(scm, "userRemoteConfigs"), "hudson.plugins.git.UserRemoteConfig")
    _add(remote, "url", shape.git_url)
    if shape.credentials_id:
        _add(remote, "credentialsId", shape.credentials_id)
    _add(_add(_add(scm, "branches"), "hudson.plugins.git.BranchSpec"), "name", _branch_spec(shape.branch))
    _add(definition, "scriptPath", shape.script_path)
    _add(definition, "lightweight", "true")
    return definition


def _read_shape(root: ET.Element, description: str) -> JobShape | None:
    definition = root.find("definition")
    kind = definition.get("class") if definition is not None else None
    names = tuple(each.findtext("name") or "" for each in root.iterfind(f"properties/{_DECLARED}/*/{_STRING}"))
    if definition is None or kind not in {_INLINE, _FROM_GIT}:
        return None
    if kind == _INLINE:
        git_url, branch, script_path, credentials_id = _told_git(description)
        script = definition.findtext("script") or ""
        return JobShape(git_url, branch, script_path, script, credentials_id, names)
    remotes, branches = definition.findall("scm/userRemoteConfigs/*"), definition.findall("scm/branches/*")
    return JobShape(
        git_url=_only(each.findtext("url") for each in remotes),
        branch=_only(each.findtext("name") for each in branches).removeprefix("*/"),
        script_path=definition.findtext("scriptPath") or "",
        credentials_id=_only(each.findtext("credentialsId") for each in remotes),
        parameters=names,
    )


def _told_git(description: str) -> tuple[str, str, str, str]:
    """Return git URL, branch, script path and credentials of an inline pipeline as its description tells them."""
    told = next((line.removeprefix(_GIT) for line in description.splitlines() if line.startswith(_GIT)), "")
    try:
        values = orjson.loads(told)
    except orjson.JSONDecodeError:
        return "", "", "", ""
    match values:
        case [str(git_url), str(branch), str(script_path), str(credentials_id)]:
            return git_url, branch, script_path, credentials_id
        case _:
            return "", "", "", ""


def _only(texts: Iterable[str | None]) -> str:
    """Return the text when there is exactly one; a second remote or branch is not what we make."""
    found = list(texts)
    return (found[0] or "") if len(found) == 1 else ""


def _branch_spec(branch: str) -> str:
    return branch if branch.startswith("refs/") else f"*/{branch}"


def _add(parent: ET.Element, tag: str, text: str = "") -> ET.Element:
    child = ET.SubElement(parent, tag)
    child.text = text
    return child


def _replace(root: ET.Element, tag: str, *, text: str = "", element: ET.Element | None = None) -> None:
    if element is None:
        element = ET.Element(tag)
        element.text = text
    place = next((at for at, child in enumerate(root) if child.tag == tag), len(root))
    for old in root.findall(tag):
        root.remove(old)
    root.insert(place, element)


def _written(root: ET.Element) -> str:
    text = ET.tostring(root, encoding="unicode").replace("\r", "&#13;")
    if found := _FORBIDDEN.search(text):
        raise Invalid(f"the character U+{ord(found.group()):04X} cannot be written to Jenkins")
    return _HEADER + text
