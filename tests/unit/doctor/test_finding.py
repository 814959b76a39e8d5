from __future__ import annotations

import pytest

from tunekit.doctor.finding import Check, blocks, not_needed, ok, unknown, warning

CHECK = Check(name="room", group="disks", title="room", why="It would be full.", look=lambda case: ok("much"))


@pytest.mark.parametrize(
    ("seen", "state", "cure"),
    [
        (ok("much"), "ok", ""),
        (warning("little", "free some"), "warning", "free some"),
        (blocks("none", "free some"), "blocks", "free some"),
        (unknown("who knows"), "cannot tell", ""),
        (not_needed("nothing is written"), "not needed", ""),
    ],
)
def test_a_finding_is_what_was_seen_and_why_it_matters(seen, state, cure):
    finding = CHECK.finding(seen)
    assert (finding.state, finding.found, finding.cure) == (state, seen.found, cure)
    assert (finding.check, finding.group, finding.why) == ("room", "disks", "It would be full.")
    assert finding.blocks == (state == "blocks")
