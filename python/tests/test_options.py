# SPDX-License-Identifier: Apache-2.0
"""Keyword arguments agree with the core's tables."""

from __future__ import annotations

import typing
from collections.abc import Sequence

import pytest

import kerolox
from kerolox import _native, _options

KINDS = {"str": str, "int": int, "bool": bool}


@pytest.mark.parametrize("table", _native.option_tables())
def test_the_typed_dict_is_the_table(table: str) -> None:
    declared = typing.get_type_hints(getattr(_options, table))
    rows = _native.option_tables()[table]
    assert list(declared) == [name for name, *_ in rows]
    for name, kind, default, doc in rows:
        if "|" in kind:
            assert typing.get_args(declared[name]) == tuple(kind.split("|"))
            assert default in kind.split("|")
        elif name == "name_servers":
            assert declared[name] == str | Sequence[str]
        else:
            assert declared[name] is KINDS[kind]
            assert isinstance(default, KINDS[kind])
        assert doc.strip()


@pytest.mark.parametrize(
    ("options", "name", "text"),
    [
        ({"send_timeout": 5}, "UNKNOWN_OPTION", "did you mean send_timeout_ms?"),
        ({"retry_times": "many"}, "INVALID_OPTION", "retry_times is 'many'"),
        ({"retry_times": 1.5}, "INVALID_OPTION", "retry_times is '1.5'"),
        ({"retry_times": -1}, "INVALID_OPTION", "retry_times is -1"),
        ({"retry_times": 2**70}, "INVALID_OPTION", "retry_times"),
        ({"retry_times": True}, "INVALID_OPTION", "retry_times is true"),
        ({"group": 5}, "INVALID_OPTION", "group is 5"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], name: str, text: str) -> None:
    with pytest.raises(kerolox.UsageError) as caught:
        kerolox.Producer(**options)  # type: ignore[arg-type]
    assert caught.value.name == name
    assert text in str(caught.value)


def test_choices_are_named() -> None:
    with pytest.raises(kerolox.UsageError, match="CLUSTERING BROADCASTING"):
        kerolox.PushConsumer(group="g", subscriptions="t", message_model="BOTH")  # type: ignore[arg-type]


def test_none_and_lists(group: str) -> None:
    with kerolox.Producer(
        name_servers=["127.0.0.1:1", "127.0.0.1:2"],
        group=group,
        client_ip=None,  # type: ignore[arg-type]
    ) as producer:
        with pytest.raises(kerolox.ConnectError) as caught:
            producer.send("topic", b"x")
    tried = caught.value.context["name_servers"].split(";")
    assert sorted(tried) == ["127.0.0.1:1", "127.0.0.1:2"]
