"""Which network a client is in."""

import pytest
from fastapi.requests import HTTPConnection

from fastapi_users_sqlmodel.throttling import client_network


class TestClientNetwork:
    @pytest.mark.parametrize(
        ("host", "network"),
        [
            ("203.0.113.7", "203.0.113.7"),
            ("127.0.0.1", "127.0.0.1"),
            ("2001:db8::1", "2001:db8::/64"),
            ("2001:DB8:0:0:ffff:ffff:ffff:ffff", "2001:db8::/64"),
            ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
            ("::1", "::/64"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("::ffff:cb00:7107", "203.0.113.7"),
            ("fe80::1%eth0", "fe80::/64"),
            ("::ffff:203.0.113.7%eth0", "203.0.113.7"),
            ("", "unknown"),
            ("testclient", "unknown"),
            ("203.0.113.7:80", "unknown"),
            ("203.0.113.07", "unknown"),
            ("203.0.113.256", "unknown"),
            ("٢٠٣.0.113.7", "unknown"),
            ("[::1]", "unknown"),
            ("\ud800", "unknown"),
            ("1" * 10_000, "unknown"),
        ],
    )
    def test_table(self, host: str, network: str) -> None:
        assert client_network(HTTPConnection({"type": "http", "client": (host, 1234)})) == network

    def test_nobody(self) -> None:
        assert client_network(None) == "unknown"
        assert client_network(HTTPConnection({"type": "http", "client": None})) == "unknown"
        assert client_network(HTTPConnection({"type": "websocket"})) == "unknown"
