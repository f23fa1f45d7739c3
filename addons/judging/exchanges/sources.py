"""The kinds of exchange as python-threatexchange speaks with them. Imported only in the process that fetches.

Left out are hashes that a member says are false positives, or on which members do not agree.
"""

import json
import sys
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from addons.judging.exchanges.store import Found
from addons.policy.exchanges import Exchange
from classifier.hashlists.entries import Kind

# threatexchange imports it for lists of texts, which we have none of; it has no wheels and would need a compiler.
sys.modules.setdefault("weighted_levenshtein", types.ModuleType("weighted_levenshtein")).__dict__.setdefault(
    "lev", None
)

from threatexchange.exchanges.clients.ncmec import hash_api as ncmec  # noqa: E402
from threatexchange.exchanges.clients.stopncii import api as stopncii  # noqa: E402
from threatexchange.exchanges.fetch_state import AggregateSignalOpinion, AggregateSignalOpinionCategory  # noqa: E402
from threatexchange.exchanges.impl.file_api import FileCollaborationConfig, LocalFileSignalExchangeAPI  # noqa: E402
from threatexchange.exchanges.impl.ncmec_api import (  # noqa: E402
    NCMECCheckpoint,
    NCMECCollabConfig,
    NCMECSignalExchangeAPI,
)
from threatexchange.exchanges.impl.stop_ncii_api import (  # noqa: E402
    StopNCIICheckpoint,
    StopNCIISignalMetadata,
)
from threatexchange.signal_type.md5 import VideoMD5Signal  # noqa: E402
from threatexchange.signal_type.pdq.signal import PdqSignal  # noqa: E402
from threatexchange.signal_type.sha256 import VideoSHA256Signal  # noqa: E402
from threatexchange.utils.dataclass_json import dataclass_dump_dict, dataclass_loads  # noqa: E402

# Called after videos there, and digests of any file here.
_KINDS: Mapping[Any, Kind] = {PdqSignal: "pdq", VideoMD5Signal: "md5", VideoSHA256Signal: "sha256"}
_OF_NCMEC: Mapping[str, Kind] = {"md5": "md5", "sha1": "sha1", "pdq": "pdq"}


@dataclass(frozen=True, slots=True)
class Delta:
    """Some records (None: deleted), and where the fetch has come to once they are taken."""

    updates: Mapping[str, Sequence[Found] | None]
    checkpoint: str | None


class Source(Protocol):
    """One exchange, opened."""

    def usable(self, checkpoint: str) -> bool:
        """Whether a fetch may go on from there; else all is fetched afresh."""
        ...

    def deltas(self, checkpoint: str | None) -> Iterator[Delta]:
        """What is new since, in the order in which it must be taken. Blocks; raises what requests and parsers raise."""
        ...


def source(exchange: Exchange) -> Source:
    """The exchange, ready to be asked. Asks nothing yet."""
    kinds: Mapping[str, type[Ncmec | StopNcii | Share]] = {"ncmec": Ncmec, "stopncii": StopNcii, "file": Share}
    return kinds[exchange.kind](exchange)


class Ncmec:
    """NCMEC's hash sharing: entries by number, each with the digests and perceptual hashes of one file.

    Its images' MD5 and SHA-1 are taken too, which threatexchange itself leaves out.
    """

    def __init__(self, exchange: Exchange) -> None:
        assert exchange.user is not None
        assert exchange.password is not None
        environment = ncmec.NCMECEnvironment[exchange.environment]
        self._members = frozenset(exchange.members)
        self._api = _NcmecAt(
            NCMECCollabConfig(name=exchange.name, environment=environment), exchange.user, exchange.password
        )
        self._api.url = exchange.url

    def usable(self, checkpoint: str) -> bool:
        """As its own class says."""
        return not dataclass_loads(checkpoint, NCMECCheckpoint).is_stale()

    def deltas(self, checkpoint: str | None) -> Iterator[Delta]:
        """Entries by member and number."""
        begun = dataclass_loads(checkpoint, NCMECCheckpoint) if checkpoint else None
        for delta in self._api.fetch_iter((), begun):
            updates = {key: self._found(entry) if entry else None for key, entry in delta.updates.items()}
            yield Delta(updates, _dumped(delta.checkpoint))

    def _found(self, entry: ncmec.NCMECEntryUpdate) -> list[Found] | None:
        if entry.deleted or (self._members and entry.member_id not in self._members):
            return None
        disputed = {
            kind.lower()
            for kind, said in entry.feedback.items()
            if any(one.feedback_type is ncmec.FeedbackType.downvote for one in said)
        }
        told = f"member {entry.member_id}" + (f": {entry.classification}" if entry.classification else "")
        return [
            Found(_OF_NCMEC[kind], digest.strip(), told)
            for tag, digest in entry.fingerprints.items()
            if (kind := tag.lower()) in _OF_NCMEC and kind not in disputed
        ]


class _NcmecAt(NCMECSignalExchangeAPI):
    """NCMEC's, or one at another URL that speaks as it does."""

    url: str | None = None

    def get_client(self, environment: ncmec.NCMECEnvironment) -> ncmec.NCMECHashAPI:
        client = super().get_client(environment)
        client._base_url = self.url or client._base_url
        return client


class StopNcii:
    """StopNCII's hashes of intimate pictures, whose owners do not want them shared."""

    def __init__(self, exchange: Exchange) -> None:
        assert exchange.subscription_key is not None
        assert exchange.function_key is not None
        self._client = stopncii.StopNCIIAPI(
            exchange.subscription_key, exchange.function_key, base_url_override=exchange.url
        )

    def usable(self, checkpoint: str) -> bool:
        """Not after 30 days."""
        return not dataclass_loads(checkpoint, StopNCIICheckpoint).is_stale()

    def deltas(self, checkpoint: str | None) -> Iterator[Delta]:
        """Hashes by themselves.

        Not threatexchange's own ``fetch_iter``: that keeps withdrawn hashes (it looks for their status in the hash) and
        gives each page the checkpoint of them all: a fetch that is cut off would miss the other pages for good.
        """
        begun = dataclass_loads(checkpoint, StopNCIICheckpoint) if checkpoint else None
        start = begun.update_time if begun else stopncii.StopNCIIAPI.DEFAULT_START_TIME
        for page in self._client.fetch_hashes_iter(start_timestamp=start):
            if not page.hasMoreRecords:
                checkpoint = _dumped(StopNCIICheckpoint.from_stopncii_fetch(page))
            updates = {f"{one.signalType.value} {one.hashValue}": self._found(one) for one in page.hashRecords}
            yield Delta(updates, checkpoint)

    def _found(self, record: stopncii.StopNCIIHashRecord) -> list[Found] | None:
        kinds: Mapping[stopncii.StopNCIISignalType, Kind]
        kinds = {stopncii.StopNCIISignalType.ImagePDQ: "pdq", stopncii.StopNCIISignalType.VideoMD5: "md5"}
        kind = kinds.get(record.signalType)
        gone = record.hashStatus in (stopncii.StopNCIICaseStatus.Withdrawn, stopncii.StopNCIICaseStatus.Deleted)
        note = _opinion(StopNCIISignalMetadata(record.CSPFeedbacks).get_as_aggregate_opinion())
        return None if kind is None or gone or note is None else [Found(kind, record.hashValue.strip(), note)]


class Share:
    """A file of threatexchange's own form, mostly on a network share: ``pdq <hash>`` a line, or bare hashes."""

    def __init__(self, exchange: Exchange) -> None:
        assert exchange.file is not None
        named = {kind: signal.get_name() for signal, kind in _KINDS.items()}
        self._collab = FileCollaborationConfig(
            name=exchange.name,
            filename=str(exchange.file),
            signal_type=named[exchange.match] if exchange.match else None,
        )

    def usable(self, checkpoint: str) -> bool:
        """Never: the file says nothing of what was taken out of it."""
        return False

    def deltas(self, checkpoint: str | None) -> Iterator[Delta]:
        """The whole file."""
        api = LocalFileSignalExchangeAPI.for_collab(self._collab)
        for delta in api.fetch_iter((), None):
            found = api.naive_convert_to_signal_type(list(_KINDS), self._collab, delta.updates)
            yield Delta(dict(_each(found)), None)


def _each(converted: Mapping[Any, Mapping[str, Any]]) -> Iterable[tuple[str, list[Found] | None]]:
    for signal, hashes in converted.items():
        for digest, metadata in hashes.items():
            note = _opinion(metadata.get_as_aggregate_opinion())
            yield f"{_KINDS[signal]} {digest}", None if note is None else [Found(_KINDS[signal], digest.strip(), note)]


def _opinion(opinion: AggregateSignalOpinion) -> str | None:
    """What members think of a hash, or None where they think it a false positive, or do not agree."""
    if opinion.category in (AggregateSignalOpinionCategory.NEGATIVE_CLASS, AggregateSignalOpinionCategory.DISPUTED):
        return None
    told = opinion.category.name.lower().replace("_", " ")
    return f"{told}: {', '.join(sorted(opinion.tags))}" if opinion.tags else told


def _dumped(checkpoint: Any) -> str:
    return json.dumps(dataclass_dump_dict(checkpoint))
