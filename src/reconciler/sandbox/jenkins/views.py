"""The remote API: which fields each thing shows, and which of them when nobody says `tree=`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from reconciler.sandbox.jenkins.configuration import FOLDER, Parameter
from reconciler.sandbox.jenkins.items import Build, Folder, Item, Job, QueueItem, Values
from reconciler.sandbox.jenkins.pages import oops, shown
from reconciler.sandbox.jenkins.trees import Exposed, MalformedTreeError, Tree, read_tree, render
from reconciler.sandbox.jenkins.works import Works

NEWEST_BUILDS = 100
"""How many `builds` lists at most; `allBuilds` lists all."""
_STUCK_AFTER = 600.0
_JOB = "name,url,color"
_DEFAULTS = {
    Folder: f"description,displayName,fullDisplayName,fullName,name,url,jobs[{_JOB}]",
    Job: "description,displayName,fullName,name,url,buildable,builds[number,url],color,concurrentBuild,inQueue,"
    "lastBuild[number,url],nextBuildNumber,property[parameterDefinitions[name,type,description]]",
    Build: "actions[parameters[name,value]],building,description,displayName,duration,estimatedDuration,"
    "fullDisplayName,id,inProgress,number,queueId,result,timestamp,url",
    QueueItem: f"actions[parameters[name,value]],blocked,buildable,id,inQueueSince,params,stuck,task[{_JOB}],url,why,"
    "cancelled,executable[number,url]",
}
_ROOT = f"mode,nodeDescription,numExecutors,jobs[{_JOB}],quietingDown,url,useCrumbs,useSecurity"
_QUEUE = f"items[{_DEFAULTS[QueueItem]}]"


@dataclass(frozen=True, slots=True)
class Action:
    """The part of a build or queue item that has its parameters."""

    job: Job
    values: Values


@dataclass(frozen=True, slots=True)
class Value:
    """One parameter of a build."""

    name: str
    value: str
    is_secret: bool


@dataclass(frozen=True, slots=True)
class Fields:
    """Fields given as they are."""

    fields: Exposed


@dataclass
class Views:
    """Writes things as JSON, as of one moment."""

    works: Works
    root: Folder
    base: str
    now: float = 0.0
    use_crumbs: bool = True

    def __post_init__(self) -> None:
        """Note who writes what."""
        self._by_type: dict[type, Callable[[Any], Exposed]] = {
            Fields: lambda given: given.fields,
            Folder: self._folder,
            Job: self._job,
            Build: self._build,
            QueueItem: self._queue_item,
            Action: self._action,
            Value: _value,
            Parameter: _parameter,
        }

    def answer(self, thing: Any, request: web.Request) -> web.Response:
        """Answer with the fields of a thing that the request's `tree` asks for."""
        try:
            tree = read_tree(request.query.get("tree") or self._default(thing))
        except MalformedTreeError as error:
            return oops(f"java.lang.IllegalArgumentException: {error}")
        return shown(self._shown(thing, tree))

    def queue(self) -> Fields:
        """Return the queue, newest first."""
        return Fields(
            {"_class": lambda: "hudson.model.Queue", "items": lambda: list(self.works.waiting.values())[::-1]}
        )

    def _shown(self, thing: Any, tree: Tree) -> Any:
        return render(thing, tree, self._expose)

    def _default(self, thing: Any) -> str:
        if isinstance(thing, Fields):
            return _QUEUE
        return _ROOT if thing is self.root else _DEFAULTS[type(thing)]

    def _expose(self, thing: Any) -> Exposed | None:
        if thing is self.root:
            return self._root()
        exposing = self._by_type.get(type(thing))
        return exposing(thing) if exposing else None

    def _root(self) -> Exposed:
        return {
            "_class": lambda: "hudson.model.Hudson",
            "mode": lambda: "NORMAL",
            "nodeDescription": lambda: "the Jenkins controller's built-in node",
            "numExecutors": lambda: self.works.pace.executors or 2,
            "jobs": lambda: list(self.root.children.values()),
            "quietingDown": lambda: self.works.is_quieting_down,
            "url": lambda: f"{self.base}/",
            "useCrumbs": lambda: self.use_crumbs,
            "useSecurity": lambda: True,
        }

    def _item(self, item: Item) -> Exposed:
        return {
            "description": lambda: item.configuration.description if item.configuration else "",
            "displayName": lambda: item.name,
            "fullDisplayName": lambda: item.path.replace("/", " \u00bb "),
            "fullName": lambda: item.path,
            "name": lambda: item.name,
            "url": lambda: self.base + item.url_path,
        }

    def _folder(self, folder: Folder) -> Exposed:
        return self._item(folder) | {"_class": lambda: FOLDER, "jobs": lambda: list(folder.children.values())}

    def _job(self, job: Job) -> Exposed:
        return self._item(job) | {
            "_class": lambda: "org.jenkinsci.plugins.workflow.job.WorkflowJob" if job.is_pipeline else _FREESTYLE,
            "buildable": lambda: job.is_buildable,
            "builds": lambda: job.builds[:NEWEST_BUILDS],
            "allBuilds": lambda: job.builds,
            "color": lambda: "notbuilt" if not job.builds else "blue_anime" if job.builds[0].is_building else "blue",
            "concurrentBuild": lambda: job.configuration is None or job.configuration.is_concurrent,
            "inQueue": lambda: any(each.job is job for each in self.works.waiting.values()),
            "lastBuild": lambda: job.builds[0] if job.builds else None,
            "nextBuildNumber": lambda: job.next_number,
            "property": lambda: self._properties(job),
        }

    def _properties(self, job: Job) -> list[Fields]:
        parameters = job.configuration.parameters if job.configuration else []
        if not parameters:
            return []
        name = "hudson.model.ParametersDefinitionProperty"
        return [Fields({"_class": lambda: name, "parameterDefinitions": lambda: parameters})]

    def _build(self, build: Build) -> Exposed:
        duration = 0 if build.is_building else int((build.ends_at - build.started_at) * 1000)
        return {
            "_class": lambda: "org.jenkinsci.plugins.workflow.job.WorkflowRun",
            "actions": lambda: _actions(build.job, build.values),
            "building": lambda: build.is_building,
            "description": lambda: None,
            "displayName": lambda: f"#{build.number}",
            "duration": lambda: duration,
            "estimatedDuration": lambda: int(self.works.pace.build * 1000) or -1,
            "fullDisplayName": lambda: f"{build.job.path} #{build.number}",
            "id": lambda: str(build.number),
            "inProgress": lambda: build.is_building,
            "number": lambda: build.number,
            "queueId": lambda: build.queue_id,
            "result": lambda: build.result.value if build.result else None,
            "timestamp": lambda: int(build.started_at * 1000),
            "url": lambda: f"{self.base}{build.job.url_path}{build.number}/",
        }

    def _queue_item(self, item: QueueItem) -> Exposed:
        waited = self.now - item.since
        is_due = item.due <= self.now
        common: Exposed = {
            "_class": lambda: f"hudson.model.Queue${self._queue_class(item)}",
            "actions": lambda: _actions(item.job, item.values),
            "blocked": lambda: item.left_at is None and self.works.is_blocked(item, self.now),
            "buildable": lambda: item.left_at is None and is_due and not self.works.is_blocked(item, self.now),
            "id": lambda: item.id,
            "inQueueSince": lambda: int(item.since * 1000),
            "params": lambda: "".join(f"\n{name}={value}" for name, value in item.values.items()),
            "stuck": lambda: item.left_at is None and is_due and waited > max(_STUCK_AFTER, 10 * self.works.pace.build),
            "task": lambda: item.job,
            "url": lambda: f"queue/item/{item.id}/",
            "why": lambda: self.works.why(item, self.now) if item.left_at is None else None,
        }
        return common | (self._left(item) if item.left_at is not None else {})

    def _queue_class(self, item: QueueItem) -> str:
        if item.left_at is not None:
            return "LeftItem"
        if item.due > self.now:
            return "WaitingItem"
        return "BlockedItem" if self.works.is_blocked(item, self.now) else "BuildableItem"

    def _left(self, item: QueueItem) -> Exposed:
        is_known = self.now >= (item.left_at or 0.0) + self.works.pace.executable_lag
        return {"cancelled": lambda: item.is_cancelled, "executable": lambda: item.build if is_known else None}

    def _action(self, action: Action) -> Exposed:
        types = (
            {each.name: each.type for each in action.job.configuration.parameters} if action.job.configuration else {}
        )
        values = [Value(n, v, types.get(n) == "PasswordParameterDefinition") for n, v in action.values.items()]
        return {"_class": lambda: "hudson.model.ParametersAction", "parameters": lambda: values}


_FREESTYLE = "hudson.model.FreeStyleProject"


def _actions(job: Job, values: Values) -> list[Any]:
    """Return the actions as the real server does: most of them show nothing."""
    cause = Fields({"_class": lambda: "hudson.model.CauseAction"})
    return [*([Action(job, values)] if values else []), cause, Fields({})]


def _value(value: Value) -> Exposed:
    kind = "PasswordParameterValue" if value.is_secret else "StringParameterValue"
    shown_always: Exposed = {"_class": lambda: f"hudson.model.{kind}", "name": lambda: value.name}
    return shown_always | ({} if value.is_secret else {"value": lambda: value.value})


def _parameter(parameter: Parameter) -> Exposed:
    default = Value(parameter.name, parameter.default, is_secret=parameter.type.startswith("Password"))
    fields: Exposed = {
        "_class": lambda: f"hudson.model.{parameter.type}",
        "name": lambda: parameter.name,
        "type": lambda: parameter.type,
        "description": lambda: None,
        "defaultParameterValue": lambda: default,
    }
    return fields | ({"choices": lambda: list(parameter.choices)} if parameter.choices else {})
