"""Whatever the systems say to 20 components, in whatever language, a status is valid and has room in an object."""

from datetime import UTC, datetime, timedelta

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.deployments.chain import stages_of
from reconciler.deployments.rendering import rendered
from reconciler.domain.answers import Answer, Done, Failed, Skipped, Waiting
from reconciler.domain.resources import Claim, DeploymentRecord, DeploymentRecordStatus, Phase, Place, StageName
from reconciler.engine.folding import fold
from support.scene import record

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
ROOM = 256 * 1024
COMPONENTS = [f"{number:02}{'c' * 18}" for number in range(20)]
CLAIM = Claim(key="k" * 160, replica="r" * 63, incarnation="i" * 36, at=NOW)
PLACE = Place(endpoint="https://" + "e" * 1000, credentials="c" * 253, name="f" * 256 + "/" + "j" * 64)

words = st.text(min_size=1, max_size=20).map(lambda text: text * 500) | st.sampled_from(
    ["失败" * 500, "\x1b" * 999, ""]
)


def answers(said: str) -> st.SearchStrategy[Answer]:
    facts = {"url": "https://jenkins.example.com/" + "u" * 900, "externalId": "queue/7", "digest": "sha256:" + "d" * 64}
    return st.sampled_from(
        [
            Done(facts, message=said),
            Skipped(message=said),
            Waiting(said or "it", NOW + timedelta(minutes=1), remedy=said, facts=facts, system="jenkins"),
            Failed("BuildFailed", said, facts=facts),
            Failed("AgentLost", said, again=True, facts=facts),
        ]
    )


def claim_of(stage: StageName) -> Claim:
    return CLAIM.model_copy(update={"place": PLACE}) if stage is StageName.BUILD else CLAIM


@settings(max_examples=30)
@given(data=st.data(), components=st.integers(1, 20), said=words)
def test_whatever_is_said_to_all_components_the_status_is_valid_and_has_room(
    data: st.DataObject, components: int, said: str
) -> None:
    few = data.draw(st.lists(answers(said), min_size=1, max_size=6))
    steps = {
        (step.name, step.component): fold(
            step.model_copy(update={"claim": claim_of(step.name), "started_at": NOW}), few[number % len(few)], NOW, 5
        )
        for number, step in enumerate(stages_of(COMPONENTS[:components]))
    }
    body = record()
    body["metadata"] |= {"uid": "uid-1", "generation": 1, "creationTimestamp": "2026-11-23T08:00:00Z"}

    status = rendered(DeploymentRecord(body), steps, NOW, data.draw(st.none() | st.sampled_from(Phase)), "Why", said)

    assert len(orjson.dumps(status)) < ROOM
    assert DeploymentRecordStatus.model_validate(status).phase
