"""The contract checker finds what a description does not allow, in Swagger 2 and in OpenAPI 3 alike."""

from collections.abc import Iterator

import pytest

from support.contracts import LEDGERS, Contract, Deviation, Exchange

SYNC = "POST /api/v1/applications/{name}/sync"
DESCRIPTIONS = (
    "argocd-swagger.json",
    "dockerhub.openapi.yaml",
    "dockerhub-registry.openapi.yaml",
    "godaddy-domains.openapi.json",
    "jenkins.openapi.yaml",
)


@pytest.fixture(autouse=True)
def no_trace_in_the_summary() -> Iterator[None]:
    before = list(LEDGERS)
    yield
    LEDGERS[:] = before


@pytest.fixture
def argo() -> Contract:
    contract = Contract("argocd-swagger.json")
    if not contract.is_present:
        pytest.skip("the official descriptions are not beside this repository")
    return contract


def exchange(method: str, path: str, *, query: str = "", sent: bytes = b"", answered: bytes = b"{}") -> Exchange:
    return Exchange(method, path, query, "application/json", sent, 200, "application/json", answered)


def complaints(contract: Contract, seen: Exchange) -> list[tuple[str, str]]:
    return [(c.part, c.at) for c in contract.complaints(seen)]


@pytest.mark.parametrize("file", DESCRIPTIONS)
def test_every_description_can_be_read(file: str) -> None:
    contract = Contract(file)
    assert not contract.is_present or contract._operations


def test_a_misspelt_property_of_a_request_is_found(argo: Contract) -> None:
    seen = exchange("POST", "/api/v1/applications/a/sync", sent=b'{"infos":[{"nam":"x"}]}')
    assert complaints(argo, seen) == [("request", "/infos/0/nam")]


def test_a_wrong_type_in_an_answer_is_found(argo: Contract) -> None:
    seen = exchange("GET", "/api/v1/applications/a", answered=b'{"metadata":{"name":3}}')
    assert complaints(argo, seen) == [("response", "/metadata/name")]


def test_an_unknown_path_and_an_unknown_parameter_are_found(argo: Contract) -> None:
    assert complaints(argo, exchange("GET", "/api/v9/x")) == [("operation", "")]
    assert complaints(argo, exchange("GET", "/api/v1/applications", query="fields=x")) == [("parameter", "fields")]


def test_only_a_deviation_in_the_table_passes(argo: Contract) -> None:
    seen = exchange("POST", "/api/v1/applications/a/sync", sent=b'{"sourcePositions":[1]}')
    with pytest.raises(AssertionError, match="sourcePositions"):
        argo.check([seen])
    argo.deviations = (Deviation(SYNC, "request", "/sourcePositions/*", "FACTS 1.1: send numbers"),)
    argo.check([seen])
    assert argo.deviating[SYNC] == 1


def test_what_cannot_be_checked_says_so_loudly() -> None:
    assert Contract("absent.json").summary()[0].startswith("SKIPPED")
