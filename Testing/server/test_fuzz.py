"""Messages made up from the description of the routes: nothing breaks, all is as described."""

from __future__ import annotations

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from running_server import CLIENT, TOKEN, RunningServer, final_masks, running_server
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from small_network import prompts_of_every_kind, small_network, small_volume

from segvol_core.client import RemoteSession
from segvol_core.session import Session
from segvol_core.wire import CLIENT_HEADER, PROTOCOL, PROTOCOL_HEADER

EXAMPLES = 8
"""Messages of each kind for each route."""

# That all valid data be taken is not asked for: a point outside the volume is valid, and refused.
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
)
HEADERS = {
    "Authorization": f"Bearer {TOKEN}",
    CLIENT_HEADER: CLIENT,
    PROTOCOL_HEADER: str(PROTOCOL),
}

bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def fuzzed() -> RunningServer:
    with running_server({"small": small_network()}, memory_bytes=2**26) as running:
        yield running
        # After all that, it still does what it is for.
        volume = small_volume()
        session = running.session(volume)
        prompts = prompts_of_every_kind(volume)["all"]
        (mask,) = final_masks(session.segment({"a": prompts})).values()
        assert np.array_equal(mask, Session(small_network(), volume).mask(prompts))


@pytest.fixture(scope="module")
def operations(fuzzed: RunningServer) -> list:
    description = fuzzed.call("GET", "/openapi.json").json()
    # The token is always the right one here; test_security.py has the wrong ones.
    del description["components"]["securitySchemes"]
    for path in description["paths"].values():
        for operation in path.values():
            assert operation.pop("security")
    statuses = ["400", "404", "405", "409", "410", "413", "422", "426", "429"]
    config = SchemathesisConfig.from_dict(
        {"checks": {"negative_data_rejection": {"expected-statuses": statuses}}}
    )
    schema = schemathesis.openapi.from_dict(description, config=config)
    schema.config.update(base_url=fuzzed.url)
    return [result.ok() for result in schema.get_all_operations()]


@pytest.fixture(scope="module")
def known(fuzzed: RunningServer) -> dict[str, str]:
    """A volume and a request that exist, so that not every message is about unknown ones."""
    connection = fuzzed.connect()
    connection.client = CLIENT
    connection._session.headers[CLIENT_HEADER] = CLIENT
    session = RemoteSession(connection, small_volume())
    list(session.segment({"a": prompts_of_every_kind(small_volume())["text"]}))
    return {"volume": str(session._upload.name), "request": session._unneeded[0]}


def test_every_route_is_described(operations: list) -> None:
    assert len(operations) == 11
    for operation in operations:
        statuses = set(operation.definition.raw["responses"])
        assert {"401", "413", "422", "426"} <= statuses
        assert not statuses & {"500", "default"}


def do_not_wait(case: schemathesis.Case) -> None:
    """Ten seconds for news are as good as a tenth of one."""
    wait = (case.query or {}).get("wait")
    if isinstance(wait, float | int) and 0 < wait <= 10:
        case.query["wait"] = wait / 100


@pytest.mark.parametrize("number", range(11))
@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
def test_made_up_messages(
    fuzzed: RunningServer, operations: list, number: int, mode: schemathesis.GenerationMode
) -> None:
    operation = operations[number]
    statuses = set()

    @bounded
    @given(operation.as_strategy(generation_mode=mode))
    def send(case: schemathesis.Case) -> None:
        do_not_wait(case)
        headers = dict(HEADERS)
        if mode is schemathesis.GenerationMode.NEGATIVE:
            headers = {name: value for name, value in HEADERS.items() if name not in case.headers}
        response = case.call(headers=headers, timeout=60)
        case.validate_response(response, checks=list(CHECKS))
        statuses.add(response.status_code)

    send()
    assert statuses


@pytest.mark.parametrize("number", range(11))
def test_made_up_messages_about_what_is_there(
    fuzzed: RunningServer, operations: list, known: dict[str, str], number: int
) -> None:
    operation = operations[number]
    if operation.method.upper() == "DELETE":
        known = dict.fromkeys(known, "not-there")

    @bounded
    @given(operation.as_strategy())
    def send(case: schemathesis.Case) -> None:
        do_not_wait(case)
        for name in case.path_parameters or {}:
            if name in known:
                case.path_parameters[name] = known[name]
            elif name == "index":
                case.path_parameters[name] = 0
        response = case.call(headers=HEADERS, timeout=60)
        case.validate_response(
            response, checks=[check for check in CHECKS if check is not negative_data_rejection]
        )

    send()
    faults = [
        request.error
        for request in fuzzed.engine.changed_requests(CLIENT, 0)[1]
        if request.error_kind == "fault"
    ]
    assert faults == []


@settings(max_examples=20, deadline=None)
@given(text=st.text(min_size=1, max_size=200))
def test_any_text_is_answered(fuzzed: RunningServer, known: dict[str, str], text: str) -> None:
    body = {"segments": [{"segment": "text", "prompts": {"text": text}}]}
    answer = fuzzed.call("POST", f"/v1/volumes/{known['volume']}/requests", json=body)
    assert answer.status_code == (202 if text.strip() else 422)
    if text.strip():
        name = answer.json()[0]["request"]
        while (state := fuzzed.call("GET", f"/v1/requests/{name}").json())["state"] in (
            "waiting",
            "running",
        ):
            continue
        assert state["error"] is None
