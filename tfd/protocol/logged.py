"""The kinds of events in the log that an administrator may wait for, each with its MESSAGE_ID.

One table: whoever logs names the kind, and `packaging/tfd.catalog` explains it to `journalctl -x`. An id is
made once, by `systemd-id128 new`, and never means anything else (systemd.journal-fields(7), MESSAGE_ID=).
"""

from typing import Final

from tfd.protocol.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of event.

    `name` is its word for programs, `id` its MESSAGE_ID, `level` one of debug, info, warning and error. Each
    line of the kind has at least `fields`; in the journal these are TFD_NAME.
    """

    name: str
    id: str
    level: str
    fields: tuple[str, ...] = ()


_PLACED: Final = ("container", "location", "node")
_FAILED: Final = (*_PLACED, "reason")
_CONNECTION: Final = ("listener", "container", "location", "peer", "bytes_in", "bytes_out")

STARTED: Final = Kind("started", "0a8332ea6bfb41cc9117c991c19912c0", "info")
READY: Final = Kind("ready", "807250e816db4181a85a82cb2962093b", "info")
STOPPING: Final = Kind("stopping", "092c98699dee4e228ae7323d9280482f", "info")
NOT_JOINED: Final = Kind("not-joined", "c5706f9922cd4233903dc477094d4542", "warning")
NOT_KEPT: Final = Kind("not-kept", "37048e4b3597456b908d1c276d8dd99b", "info")
RELOADED: Final = Kind("reloaded", "1a1ccd70e317459686968c6ec9b59ee5", "info")
RELOAD_REFUSED: Final = Kind("reload-refused", "9258855a6cac41afa77ffe88981c19e6", "error", ("reason",))
LINES_DROPPED: Final = Kind("lines-dropped", "50b66e04708c4d56b5758c2b92310ebd", "warning", ("count",))
DEFECT: Final = Kind("defect", "79a1532382ce43dda3ba0f0b375b183e", "error", ("reason",))

# Locations

LOCATION_JOINED: Final = Kind("location-joined", "69c047a18b8649a28a511a882ff7f96b", "info", ("location",))
LOCATION_CONNECTED: Final = Kind(
    "location-connected", "bc239c15b92541fcb584522c8724778f", "info", ("location", "address")
)
LOCATION_LOST: Final = Kind(
    "location-lost", "b2c6c5b026914f62944155c1291231e8", "warning", ("location", "reason")
)
LOCATION_UNREACHABLE: Final = Kind(
    "location-unreachable", "ea8a12e04b294034953a4084d2845e4e", "warning", ("location", "reason")
)
LOCATION_REFUSED: Final = Kind(
    "location-refused", "01f8e6f1629f44f3bb4d6db55707cdfe", "warning", ("location", "reason")
)
LOCATION_LEFT: Final = Kind("location-left", "fc505a53f45449a6baf1f00511d43c54", "info", ("location",))

# Containers

CONTAINER_CREATING: Final = Kind("container-creating", "22df512e820e4f108f7723d9fb2e8355", "info", _FAILED)
CONTAINER_STARTED: Final = Kind("container-started", "c4f7f22cd3e841f48316ceffe531ce97", "info", _PLACED)
CONTAINER_FINISHED: Final = Kind("container-finished", "5e410078d7e04dbb817642def007e429", "info", _PLACED)
CONTAINER_DIED: Final = Kind("container-died", "283c6949d4d74915850f52639bdabeab", "warning", _FAILED)
CONTAINER_UNHEALTHY: Final = Kind(
    "container-unhealthy", "8e42875628f8401fa1317eabc2fa75d4", "warning", _FAILED
)
CONTAINER_REFUSED: Final = Kind("container-refused", "2d3bc2ca5ab64e5a9a9076534bb13456", "warning", _FAILED)
CONTAINER_UNPLACED: Final = Kind(
    "container-unplaced", "0399235bbab848ca9d59263db21d3f5f", "warning", ("container", "reason")
)
CONTAINER_MOVED: Final = Kind("container-moved", "57b481e5d0944c6e8d4ce0f76cbe8651", "info", _PLACED)
CONTAINER_REPLACED: Final = Kind("container-replaced", "2883a337ab5749828db551887671dfe4", "info", _PLACED)
CONTAINER_ADOPTED: Final = Kind("container-adopted", "8d198ca1bd91490188c706d51c3d01a8", "info", _PLACED)
CONTAINER_RETIRED: Final = Kind("container-retired", "98c4fe251f354672aaf0d67602cdb192", "info", _PLACED)
OUTPUT_DROPPED: Final = Kind(
    "output-dropped", "aa0d934af0ac4cbbb102e9182b1035f5", "warning", ("container", "location")
)

# Listeners and connections

LISTENER_BOUND: Final = Kind(
    "listener-bound", "afa8e5ba1cda406c86d70dd2f7abcc2e", "info", ("listener", "container")
)
LISTENER_CLOSED: Final = Kind("listener-closed", "850d8b0611d34325a0f12b618a1b15e3", "info", ("listener",))
LISTENER_REFUSED: Final = Kind(
    "listener-refused", "0c2ee9ad6ba84f4499079a850e61ce35", "error", ("address", "reason")
)
LISTENER_WAITING: Final = Kind(
    "listener-waiting", "4cf783445b8d4a6a985cd80105c4a229", "warning", ("address",)
)
LISTENER_FULL: Final = Kind("listener-full", "61aed3913cee449d88b13166ae3c20f2", "warning", ("listener",))
LISTENER_STALLED: Final = Kind(
    "listener-stalled", "465c060b8ddc4c41ba15b0a1c033cf5a", "error", ("address", "reason")
)
CLIENT_FORBIDDEN: Final = Kind(
    "client-forbidden", "606074673cf3431cb11d6ad19fced335", "warning", ("listener", "peer")
)
CONNECTION_REFUSED: Final = Kind(
    "connection-refused",
    "6ed1935a2b8f41f5bcce9919bd0cb2e1",
    "warning",
    ("listener", "container", "peer", "reason"),
)
CONNECTION_ENDED: Final = Kind("connection-ended", "0c8a5641b7cb48dd80ac152806c5735d", "debug", _CONNECTION)
CHANNEL_LOST: Final = Kind(
    "channel-lost", "b20b92d3abe74c24a441e0d22eab1c1d", "info", (*_CONNECTION, "reason")
)
CHANNEL_PORT_UNREACHABLE: Final = Kind(
    "channel-port-unreachable", "6be7a4dec8ae4dc7aea57406189fa266", "warning", ("address", "reason")
)

HANDED_OVER: Final = Kind("handed-over", "286f2726692b4f32b5eb201ac5fe8b05", "info", ("count", "seconds"))
TAKEN_OVER: Final = Kind("taken-over", "d46f03cce2ed46b481eb228ebda99663", "info", ("count", "seconds"))
CONNECTION_LEFT_BEHIND: Final = Kind(
    "connection-left-behind", "d4bf0a7523e142b68603d9c4a2a6b3fe", "error", ("reason",)
)

KINDS: Final = (
    STARTED,
    READY,
    STOPPING,
    NOT_JOINED,
    NOT_KEPT,
    RELOADED,
    RELOAD_REFUSED,
    LINES_DROPPED,
    DEFECT,
    LOCATION_JOINED,
    LOCATION_CONNECTED,
    LOCATION_LOST,
    LOCATION_UNREACHABLE,
    LOCATION_REFUSED,
    LOCATION_LEFT,
    CONTAINER_CREATING,
    CONTAINER_STARTED,
    CONTAINER_FINISHED,
    CONTAINER_DIED,
    CONTAINER_UNHEALTHY,
    CONTAINER_REFUSED,
    CONTAINER_UNPLACED,
    CONTAINER_MOVED,
    CONTAINER_REPLACED,
    CONTAINER_ADOPTED,
    CONTAINER_RETIRED,
    OUTPUT_DROPPED,
    LISTENER_BOUND,
    LISTENER_CLOSED,
    LISTENER_REFUSED,
    LISTENER_WAITING,
    LISTENER_FULL,
    LISTENER_STALLED,
    CLIENT_FORBIDDEN,
    CONNECTION_REFUSED,
    CONNECTION_ENDED,
    CHANNEL_LOST,
    CHANNEL_PORT_UNREACHABLE,
    HANDED_OVER,
    TAKEN_OVER,
    CONNECTION_LEFT_BEHIND,
)
"""All of them."""
