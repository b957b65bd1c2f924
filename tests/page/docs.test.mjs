// The page of the interface: addresses of requests, and schemas as text.

import assert from "node:assert/strict";
import { test } from "node:test";

import { addressOf, command } from "../../static/js/docs/request.js";
import { notation } from "../../static/js/docs/schema.js";

test("an address has its encoded path and only the given parameters", () => {
  const values = [
    { name: "id", place: "path", value: "a/b ü" },
    { name: "limit", place: "query", value: "5" },
    { name: "after", place: "query", value: "" },
    { name: "If-None-Match", place: "header", value: "x" },
  ];
  assert.equal(addressOf("/v1/items/{id}/similar", values), "/v1/items/a%2Fb%20%C3%BC/similar?limit=5");
});

test("a command quotes its parts and holds no token", () => {
  const headers = { authorization: "Bearer secret", "content-type": "application/json" };
  const text = command("put", "/v1/users/ada", headers, "{\"name\":\"it's\"}", "http://localhost");
  assert.ok(!text.includes("secret"));
  assert.ok(text.endsWith(`-d '{"name":"it'\\''s"}'`), text);
});

test("a schema is written with its references, once per path", () => {
  const document = {
    components: {
      schemas: {
        Key: { type: "string" },
        Item: { type: "object", properties: { id: { $ref: "#/components/schemas/Key" }, of: { $ref: "#/components/schemas/Item" } }, required: ["id"] },
      },
    },
  };
  const list = { type: "array", items: { $ref: "#/components/schemas/Item" } };
  assert.equal(notation(list, document), "{\n  id: Key,\n  of?: Item,\n}[]");
  assert.equal(notation({ anyOf: [{ type: "integer" }, { type: "null" }] }, document), "integer | null");
  assert.equal(notation({ enum: ["a", "b"] }, document), '"a" | "b"');
  assert.equal(notation({ type: "array", items: { type: ["string", "null"] } }, document), "(string | null)[]");
});
