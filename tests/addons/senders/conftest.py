"""Every test here keeps to loopback."""

from tests.addons.fetching.servers import nothing_leaves_this_machine as nothing_leaves_this_machine
