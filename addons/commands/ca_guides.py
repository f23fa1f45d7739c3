"""The lines that have each server software send its requests through the fetch door and trust its authority.

What stands here was read in the project's fact sheet (reference section 5); ``known`` says how surely.
"""

from dataclasses import dataclass

BUNDLE = "fediward-bundle.pem"
CERTIFICATE = "fediward-ca.pem"
_IN_CONTAINER = "/etc/fediward/"
_SEEN = "read in its source, not tried by us"
_BELIEVED = "from general knowledge, not tried by us"

MAKE_BUNDLE = f"""\
fediward ca -c FILE --pem > {CERTIFICATE}
cat /etc/ssl/certs/ca-certificates.crt {CERTIFICATE} > {BUNDLE}"""
"""Most software takes one file in place of the system's authorities, so that it has to hold those as well."""


@dataclass(frozen=True, slots=True)
class Guide:
    """One software: the ``services`` of its usual Compose file that fetch, and what to give them.

    ``proxy``: names of the variables that name the door; ``trust``: the variable that names a file, with that file's
    name; ``around``: services that must not be reached through the door; ``more``: what else to write, where;
    ``notes``: what to know. ``{proxy}`` in texts is the door's URL.
    """

    name: str
    services: tuple[str, ...]
    around: tuple[str, ...]
    known: str
    proxy: tuple[str, ...] = ()
    trust: tuple[tuple[str, str], ...] = ()
    bypass: tuple[str, ...] = ("NO_PROXY", "no_proxy")
    more: str = ""
    notes: tuple[str, ...] = ()

    def text(self, proxy: str) -> str:
        """All of it, for a person to copy."""
        lines = [f"# {self.name} ({self.known})"]
        if self.proxy or self.trust:
            lines += self._compose(proxy)
        if self.more:
            lines += self.more.format(proxy=proxy, bundle=_IN_CONTAINER + BUNDLE).splitlines()
        return "\n".join([*lines, *(f"# {note}" for note in self.notes)])

    def _compose(self, proxy: str) -> list[str]:
        lines = ["services:"]
        around = ",".join(("localhost", "127.0.0.1", *self.around))
        for service in self.services:
            lines += [f"  {service}:", "    environment:"]
            lines += [f"      {name}: {proxy}" for name in self.proxy]
            lines += [f"      {name}: {around}" for name in self.bypass if self.proxy]
            lines += [f"      {name}: {_IN_CONTAINER}{file}" for name, file in self.trust]
            if files := {file for _, file in self.trust}:
                lines += ["    volumes:", *(f"      - ./{file}:{_IN_CONTAINER}{file}:ro" for file in sorted(files))]
        return lines


_BOTH = ("HTTP_PROXY", "HTTPS_PROXY")

GUIDES = {
    "mastodon": Guide(
        "Mastodon",
        ("web", "sidekiq"),
        ("db", "redis", "es"),
        "the proxy " + _SEEN,
        proxy=("http_proxy",),
        trust=(("SSL_CERT_FILE", BUNDLE),),
        notes=(
            "Only the lower-case http_proxy is read, for https too.",
            "Behind a proxy Mastodon checks no address itself: fediward does.",
        ),
    ),
    "gotosocial": Guide(
        "GoToSocial",
        ("gotosocial",),
        ("db",),
        "the proxy " + _SEEN + "; SSL_CERT_FILE " + _BELIEVED,
        proxy=_BOTH,
        trust=(("SSL_CERT_FILE", BUNDLE),),
        more="# config.yaml, since GoToSocial refuses a proxy with a private address (inferred):\n"
        'http-client:\n  allow-ips: ["ADDRESS-OF-THE-FETCH-DOOR/32"]',
    ),
    "akkoma": Guide(
        "Akkoma (and Pleroma)",
        ("akkoma",),
        ("db",),
        "the proxy " + _SEEN,
        more='# config/prod.secret.exs:\nconfig :pleroma, :http, proxy_url: "{proxy}"\n'
        "# in the container or on the host, for the system's authorities, which it loads:\n"
        f"cp {CERTIFICATE} /usr/local/share/ca-certificates/fediward.crt && update-ca-certificates",
        notes=(
            "Remote media are hot-linked unless its media_proxy is enabled: without that they never come by the door.",
            "Whether its HTTP client uses the system's authorities is not known for sure.",
        ),
    ),
    "misskey": Guide(
        "Misskey",
        ("web",),
        ("db", "redis"),
        "the proxy " + _SEEN + "; NODE_EXTRA_CA_CERTS " + _BELIEVED,
        trust=(("NODE_EXTRA_CA_CERTS", CERTIFICATE),),
        more="# .config/default.yml:\nproxy: {proxy}\nproxyBypassHosts: [localhost, 127.0.0.1, db, redis]",
        notes=("A mediaProxy is a process of its own, which needs the same.",),
    ),
    "mbin": Guide(
        "Mbin",
        ("php", "messenger"),
        ("db", "redis", "valkey", "rabbitmq", "amqproxy"),
        _BELIEVED,
        proxy=("http_proxy", "https_proxy"),
        trust=(("SSL_CERT_FILE", BUNDLE),),
        more="; php.ini\ncurl.cainfo = {bundle}\nopenssl.cafile = {bundle}",
    ),
    "piefed": Guide(
        "PieFed",
        ("web", "celery"),
        ("db", "redis"),
        _BELIEVED,
        proxy=_BOTH,
        trust=(("REQUESTS_CA_BUNDLE", BUNDLE), ("SSL_CERT_FILE", BUNDLE)),
    ),
    "pixelfed": Guide(
        "Pixelfed",
        ("web", "worker"),
        ("db", "redis"),
        _BELIEVED,
        proxy=_BOTH,
        trust=(("SSL_CERT_FILE", BUNDLE),),
        more="; php.ini\ncurl.cainfo = {bundle}\nopenssl.cafile = {bundle}",
    ),
    "peertube": Guide(
        "PeerTube",
        ("peertube",),
        ("postgres", "redis", "postfix"),
        "the proxy " + _SEEN + "; NODE_EXTRA_CA_CERTS " + _BELIEVED,
        proxy=_BOTH,
        trust=(("NODE_EXTRA_CA_CERTS", CERTIFICATE),),
    ),
    "lemmy": Guide(
        "Lemmy 1.0",
        ("lemmy",),
        ("pictrs", "postgres", "fediward"),
        "HTTP_PROXY " + _SEEN + "; that it uses the system's authorities is inferred",
        proxy=_BOTH,
        trust=(("SSL_CERT_FILE", BUNDLE),),
        notes=(
            "NO_PROXY has to name pict-rs (and fediward, where pictrs.url leads to its pict-rs door).",
            "pict-rs itself trusts no authority but its own: give it no proxy, and use the pict-rs door.",
        ),
    ),
    "lemmy-0.19": Guide(
        "Lemmy 0.19",
        ("lemmy",),
        ("pictrs", "postgres", "fediward"),
        "measured: HTTP_PROXY and NO_PROXY; inferred: no authority of ours",
        proxy=_BOTH,
        more="# fediward's own configuration, with Lemmy's network:\n"
        "doors: {{fetch: {{tunnels: {{clients: [LEMMYS-ADDRESS/32]}}}}}}",
        notes=(
            "It cannot be made to trust an authority: its https stays a tunnel: only where it leads is checked.",
            "Use the pict-rs door for images; the inbox door looks ahead at links, and at objects that are only named.",
            "NO_PROXY has to name pict-rs: Lemmy sends even those calls to the proxy.",
        ),
    ),
}
