// A small HTTP service on 127.0.0.1 that signs and verifies requests with Fedify, for tests/e2e/fedify.py. It reaches no
// network: keys come with each request, JSON-LD contexts from what Fedify carries.
//
// POST /sign   {method, url, headers: [[name, value]], body: base64, keyId, privateKey: JWK, spec, now} -> {headers}
// POST /verify {method, url, headers: [[name, value]], body: base64, keys: {keyId: PEM}, spec, now}
//              -> {keyId, owner, reason}: keyId null where the signature does not hold
import { createServer } from "node:http";
import { importJwk, signRequest, verifyRequestDetailed } from "@fedify/fedify/sig";
import { getDocumentLoader } from "@fedify/vocab-runtime";
import { Temporal } from "@js-temporal/polyfill";

const carriedContexts = getDocumentLoader(); // serves the well-known contexts from memory

const decode = (base64) => Uint8Array.from(Buffer.from(base64, "base64")).buffer;

function toRequest({ method, url, headers, body }) {
  const bodyless = method === "GET" || method === "HEAD";
  return new Request(url, { method, headers, body: bodyless ? undefined : decode(body) });
}

function contextLoader(url) {
  if (/^(?:https:\/\/www\.w3\.org\/ns\/activitystreams|https:\/\/w3id\.org\/security\/v1)$/.test(url)) return carriedContexts(url);
  throw new Error(`the tests serve no context ${url}`);
}

const keyLoader = (keys) => async (url) => {
  const pem = keys[url];
  if (pem === undefined) throw new Error(`the test gave no key ${url}`);
  const document = {
    "@context": "https://w3id.org/security/v1",
    id: url,
    type: "CryptographicKey",
    owner: url.split("#")[0],
    publicKeyPem: pem,
  };
  return { contextUrl: null, documentUrl: url, document };
};

const handlers = {
  async "/sign"(ask) {
    const key = await importJwk(ask.privateKey, "private");
    const signed = await signRequest(toRequest(ask), key, new URL(ask.keyId), {
      spec: ask.spec,
      currentTime: Temporal.Instant.from(ask.now),
    });
    return { headers: [...signed.headers] };
  },

  async "/verify"(ask) {
    const result = await verifyRequestDetailed(toRequest(ask), {
      spec: ask.spec,
      currentTime: Temporal.Instant.from(ask.now),
      documentLoader: keyLoader(ask.keys),
      contextLoader,
    });
    if (!result.verified) return { keyId: null, owner: null, reason: result.reason.type };
    return { keyId: result.key.id?.href ?? null, owner: result.key.ownerId?.href ?? null, reason: null };
  },
};

const server = createServer(async (request, response) => {
  let status = 200;
  let answer;
  try {
    const parts = [];
    for await (const part of request) parts.push(part);
    answer = await handlers[request.url](JSON.parse(Buffer.concat(parts).toString("utf8")));
  } catch (error) {
    status = 500;
    answer = { error: String(error?.stack ?? error) };
  }
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(answer));
});

server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
// The test process holds our standard input: when it is gone, so are we.
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
