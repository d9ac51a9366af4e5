"""tfd and tflocation as `bench/run` starts them."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from bench.compare import ours
from bench.compare.programs import Ends, Place, free_port
from tfd.protocol.channel import available_ciphers


def test_a_cipher_that_is_not_the_one_wanted_is_refused(tmp_path: Path) -> None:
    """Both ends agree on the fastest one that there is here; figures of another one would be false."""
    with ExitStack() as stack:
        ends = Ends(Place(tmp_path, free_port(), free_port(), free_port()), stack)
        ours.start(ends)

        ours.require_cipher(ends, available_ciphers()[0])
        with pytest.raises(RuntimeError, match=f"agreed on {available_ciphers()[0]}, where none is wanted"):
            ours.require_cipher(ends, "none")
