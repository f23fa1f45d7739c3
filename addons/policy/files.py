"""The files that a configuration names: placed from its own folder, and looked for."""

from pathlib import Path

from addons.policy.document import Document, Place
from addons.policy.exchanges import placed
from addons.policy.problems import Problem
from addons.policy.sections import File
from classifier.settings import TlsSettings, WorkersSettings

_WEIGHTS = (".pt", ".pth", ".bin", ".safetensors")


def placed_files(settings: File, folder: Path) -> File:
    """The same with every relative path made absolute from the configuration's folder."""
    classifier = settings.classifier
    hashes = tuple(listed.model_copy(update={"file": folder / listed.file}) for listed in classifier.hashes)
    clip = classifier.clip
    if clip is not None and (clip.pretrained.startswith((".", "/")) or clip.pretrained.endswith(_WEIGHTS)):
        clip = clip.model_copy(update={"pretrained": str(folder / clip.pretrained)})
    workers = classifier.workers
    if workers is not None:
        found = {key: folder / file for key, file in _files(workers).items()}
        tls = workers.tls and workers.tls.model_copy(update={k: found[k] for k in ("ca", "cert", "key") if k in found})
        workers = workers.model_copy(update={"tls": tls} | {k: found[k] for k in ("nkey", "creds") if k in found})
    url = settings.ledger.url
    scheme, _, file = url.partition(":///")
    if scheme == "sqlite" and file and not file.startswith(("/", ":memory:", "file:")):
        url = f"{scheme}:///{folder / file}"
    doors = settings.doors
    if doors.fetch is not None:
        doors = doors.model_copy(update={"fetch": doors.fetch.model_copy(update={"ca": folder / doors.fetch.ca})})
    senders = settings.senders
    lists = {key: tuple(folder / file for file in getattr(senders, key)) for key in ("deny", "allow")}
    return settings.model_copy(
        update={
            "senders": senders.model_copy(update=lists),
            "exchanges": tuple(placed(exchange, folder) for exchange in settings.exchanges),
            "classifier": classifier.model_copy(update={"hashes": hashes, "clip": clip, "workers": workers}),
            "ledger": settings.ledger.model_copy(update={"url": url}),
            "doors": doors,
        }
    )


def missing_lists(document: Document, settings: File) -> list[Problem]:
    """Lists of hashes and of senders that are not there: fediward would not start without them."""
    problems = []
    # Those of exchanges come when they are fetched.
    own = settings.classifier.hashes[: len(settings.classifier.hashes) - len(settings.exchanges)]
    for index, listed in enumerate(own):
        if not listed.file.is_file():
            line, column, node = document.nearest(("classifier", "hashes", index, "file"))
            message = f"there is no file {node.quoted}, or it cannot be read"
            expected = "a list of known hashes (`fediward hashes add` or `import` begins one)"
            problems.append(document.problem(line, column, message, expected))
    for key in ("deny", "allow"):
        for index, file in enumerate(getattr(settings.senders, key)):
            if not file.is_file():
                line, column, node = document.nearest(("senders", key, index))
                message = f"there is no file {node.quoted}, or it cannot be read"
                problems.append(
                    document.problem(line, column, message, "a list of hosts, one a line, or a CSV of them")
                )
    return problems


def _files(workers: WorkersSettings) -> dict[str, Path]:
    """The files that meeting the workers needs, by key."""
    tls = workers.tls or TlsSettings()
    named = {"ca": tls.ca, "cert": tls.cert, "key": tls.key, "nkey": workers.nkey, "creds": workers.creds}
    return {key: file for key, file in named.items() if file is not None}


def missing_proofs(document: Document, settings: File) -> list[Problem]:
    """Keys and certificates that are not there: the NATS server would be knocked at in vain."""
    problems = []
    workers = settings.classifier.workers
    files = _files(workers) if workers else {}
    for key, file in files.items():
        place: Place = ("classifier", "workers", *(("tls",) if key in ("ca", "cert", "key") else ()), key)
        line, column, node = document.nearest(place)
        if not file.is_file():
            problems.append(document.problem(line, column, f"there is no file {node.quoted}, or it cannot be read"))
        elif key == "key" and "cert" not in files:
            problems.append(document.problem(line, column, "a key without the certificate it is for", "cert: FILE too"))
    return problems
