import os

import pytest

from tests.filming import film, moving


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="this system tells nobody's scheduling")
def test_no_encoder_leaves_a_real_time_priority_behind() -> None:
    before = os.sched_getscheduler(0)
    assert film(moving(0.3), codec="libsvtav1")
    assert os.sched_getscheduler(0) == before
