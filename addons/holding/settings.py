"""How the keeper of holds works: how much at a time, for how long, and how often it tries again."""

from dataclasses import dataclass
from datetime import timedelta

from addons.holding.backoff import Backoff
from addons.holding.replay import BODY_SECONDS, CLOSE_SECONDS

TAKEN = timedelta(seconds=50)
"""After ``closes``: what the server has not taken by then it would refuse, ten seconds later, for its age."""

JUDGE_AGAIN = Backoff(5.0, 120.0)
FETCH_AGAIN = Backoff(10.0, 600.0)
REPLAY_AGAIN = Backoff(2.0, 120.0)
TROUBLE_AGAIN = Backoff(0.1, 5.0)


@dataclass(frozen=True, slots=True)
class KeeperSettings:
    """Numbers at a time, and seconds.

    ``judging`` and ``replays``: holds at a time. ``judge_time``: for one judgement. ``replay_time``: until the server's
    status. ``lease``: how long a claim outlasts the process that had it. ``poll``: between two looks at the database,
    for what other processes stored. ``judge_again``, ``fetch_again`` (a remote host is asked each time),
    ``replay_again`` and ``trouble_again`` (with the database): until the next try. ``closing``: windows that close.
    """

    judging: int = 8
    replays: int = 8
    closing: int = 16
    judge_time: float = 60.0
    replay_time: float = 20.0
    lease: float = 30.0
    poll: float = 1.0
    judge_again: Backoff = JUDGE_AGAIN
    fetch_again: Backoff = FETCH_AGAIN
    replay_again: Backoff = REPLAY_AGAIN
    trouble_again: Backoff = TROUBLE_AGAIN

    def __post_init__(self) -> None:
        if self.lease < self.replay_time + BODY_SECONDS + CLOSE_SECONDS:
            raise ValueError("a claim must last longer than one replay, which nothing else may begin meanwhile")
