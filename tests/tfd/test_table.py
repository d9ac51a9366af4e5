"""The table that `tfd status` prints."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tfd.table import WIDTH, render


def document(name: str, reason: str) -> dict[str, Any]:
    """Give a status document with one of everything."""
    return {
        "version": "1",
        "environment": "prod",
        "pid": 1,
        "uptime": 3700.0,
        "config": "/etc/tfd.toml",
        "summary": reason,
        "problems": [],
        "reload": {"error": reason},
        "listeners": [
            {
                "name": name,
                "container": name,
                "port": 80,
                "open": 1,
                "total": 10**9,
                "bytes_in": 10**13,
                "bytes_out": 1,
                "refused": {"not allowed": 3},
            }
        ],
        "containers": [
            {
                "name": name,
                "state": "good",
                "since": 90.0,
                "restarts": 2,
                "location": "home",
                "node": "n1",
                "reason": reason,
            }
        ],
        "locations": [
            {
                "name": name,
                "connected": True,
                "since": 5.0,
                "round_trip_ms": 1.25,
                "nodes": [{"online": True}, {"online": False}],
                "error": "",
                "address": "h:1",
            }
        ],
    }


@given(name=st.text(max_size=100), reason=st.text(max_size=300), width=st.integers(60, 300))
def test_the_table_never_is_wider_than_the_terminal(name: str, reason: str, width: int) -> None:
    """Whatever the names and reasons are."""
    assert max(map(len, render(document(name, reason), width).split("\n"))) <= width


def test_realistic_names_are_whole_at_80_columns() -> None:
    """Names of services, a name with a domain and a path are neither cut nor pushed out."""
    told = document("attic.example.net", "")
    told["listeners"] = [
        told["listeners"][0] | {"name": name, "container": "postgresql", "bytes_in": 2**30, "total": 10**6}
        for name in ("unix:/run/database.sock", "[2001:db8::8]:8080", "192.168.178.123:8080")
    ]
    told["containers"][0] |= {"name": "postgresql-primary", "location": "attic.example.net", "node": "rack-1"}
    table = render(told)

    assert max(map(len, table.split("\n"))) <= WIDTH
    assert "..." not in table


def test_numbers_stand_below_each_other() -> None:
    """Units of one, and units of ten thousand, end in one column."""
    told = document("web", "")
    told["listeners"].append(told["listeners"][0] | {"name": "127.0.0.1:8080", "total": 7, "bytes_in": 0})
    told["listeners"][0]["refused"] = told["listeners"][1]["refused"] = {}
    head, one, two = render(told).split("\n\n")[1].splitlines()

    for heading in ("OPEN", "TOTAL", "IN", "OUT"):
        end = head.index(heading) + len(heading)
        assert one[end - 1].strip()
        assert two[end - 1].strip()
        assert not (one[end : end + 1] + two[end : end + 1]).strip()


def test_a_long_reason_stands_below_its_container() -> None:
    """Each of its words is there, indented."""
    reason = "failed twice in the last 5 minutes: the process ended with 127: exec /srv/app: no such file"
    rows = render(document("web", reason)).split("\n\n")[2].splitlines()[2:]

    assert " ".join(row.strip() for row in rows) == reason
    assert all(row.startswith("    ") for row in rows)


def test_a_wide_terminal_is_used() -> None:
    """What is cut at 80 columns is whole at 200."""
    name = "unix:/run/services/database/primary/postgresql/.s.PGSQL.5432"

    assert name not in render(document(name, ""), 80).replace("\n", "")
    assert name in render(document(name, ""), 200)


def test_the_table_tells_why_a_location_refused() -> None:
    """Below the location's row."""
    refused = document("home", "")
    refused["locations"][0] |= {"connected": False, "error": "refused (revoked): the account box was revoked"}

    row, note = render(refused).split("\n\n")[-1].splitlines()[1:]

    assert row.split()[:2] == ["home", "lost"]
    assert note.strip() == "refused (revoked): the account box was revoked"


def test_what_is_wrong_is_said_at_the_top() -> None:
    """An account that cannot be used, and a file that was refused."""
    told = document("web", "the file is wrong") | {"problems": ["home.json: open to others: chmod 600"]}
    head = render(told).split("\n\n")[0]

    assert "home.json: open to others: chmod 600" in head
    assert "the last reload was refused: the file is wrong" in head
