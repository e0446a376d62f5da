# SPDX-License-Identifier: Apache-2.0
"""The server in the own process."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import script

import kerolox
from kerolox.testing import Server


def test_a_server_of_ones_own(group: str) -> None:
    with Server() as server:
        assert server.name_servers == server.namesrv_addr
        assert server.namesrv_addr != server.broker_addr
        assert server.data_dir.is_dir()
        with kerolox.Producer(name_servers=server.name_servers, group=group) as producer:
            assert producer.send("made-by-its-first-message", b"x").queue_offset == 0
    server.stop()
    assert not server.data_dir.exists()


def test_data_outlives_the_server(tmp_path: Path, group: str) -> None:
    for round_number in range(2):
        with Server(tmp_path) as server:
            assert server.data_dir == tmp_path
            with kerolox.Producer(name_servers=server.name_servers, group=group) as producer:
                if round_number == 0:
                    result = producer.send("kept", b"0")
                    kept = result.queue
                else:
                    result = producer.send_to_queue(kerolox.Message("kept", b"1"), kept)
                assert result.queue_offset == round_number
    assert list(tmp_path.glob("**/commitlog/*"))


def test_two_servers_on_one_directory_are_refused(tmp_path: Path) -> None:
    with Server(tmp_path), pytest.raises(RuntimeError, match="in use by process"):
        Server(tmp_path)


def test_settings_of_the_broker(group: str) -> None:
    with (
        Server(broker_settings={"autoCreateTopicEnable": "false"}) as server,
        kerolox.Producer(name_servers=server.name_servers, group=group) as producer,
        pytest.raises(kerolox.ConnectError) as caught,
    ):
        producer.send("made-by-nobody", b"x")
    assert caught.value.name == "NO_ROUTE"
    with pytest.raises(RuntimeError, match="flushDiskType"):
        Server(broker_settings={"flushDiskType": "SOMETIMES"})


def test_a_server_left_running_stops_with_the_interpreter() -> None:
    child = script(
        """
        import os, warnings, kerolox
        from kerolox.testing import Server
        warnings.simplefilter("ignore", DeprecationWarning)
        server = Server()
        producer = kerolox.Producer(name_servers=server.name_servers, group="g")
        producer.send("topic", b"x")
        if os.fork() == 0:
            server.stop()
            os._exit(0)
        assert os.wait()[1] == 0
        producer.send("topic", b"y")
        print(server.data_dir)
        """
    )
    output, errors = child.communicate(timeout=30)
    assert (child.returncode, errors) == (0, "")
    assert not Path(output.strip()).exists()


def test_the_fixture(kerolox_server: Server) -> None:
    assert kerolox_server.data_dir.is_dir()
