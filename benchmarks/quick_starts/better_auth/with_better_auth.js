// Better Auth as in its "installation" and "email and password" guides, on better-sqlite3 with a session cookie. Its hash
// cannot be bcrypt, so it is scrypt at a very low cost. peer_process.py describes the commands.
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { scryptSync, timingSafeEqual } from "node:crypto";
import { createInterface } from "node:readline";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { toNodeHandler } from "better-auth/node";
import Database from "better-sqlite3";

const EMAIL = "person@example.com";
const PASSWORD = "violet anchor seventeen drums";
const BASE = "http://localhost:3000";

const cheapHash = (password) => scryptSync(password, "salt", 32, { N: 16 });

const auth = betterAuth({
  baseURL: BASE,
  secret: "a secret of thirty-two bytes and more",
  database: new Database("./sqlite.db"),
  emailAndPassword: {
    enabled: true,
    password: {
      hash: async (password) => cheapHash(password).toString("hex"),
      verify: async ({ hash, password }) => timingSafeEqual(Buffer.from(hash, "hex"), cheapHash(password)),
    },
  },
  rateLimit: { enabled: false },
});

async function call(method, path, { body, cookie } = {}) {
  const headers = { origin: BASE, ...(body && { "content-type": "application/json" }), ...(cookie && { cookie }) };
  const response = await auth.handler(new Request(BASE + path, { method, headers, body: body && JSON.stringify(body) }));
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${path}: ${response.status} ${text}`);
  return [JSON.parse(text), response.headers.getSetCookie().map((line) => line.split(";")[0]).join("; ")];
}

async function me(cookie) {
  const [session] = await call("GET", "/api/auth/get-session", { cookie });
  if (session?.user.email !== EMAIL) throw new Error("no session of the user");
}

async function logIn() {
  const [, cookie] = await call("POST", "/api/auth/sign-in/email", { body: { email: EMAIL, password: PASSWORD } });
  return cookie;
}

async function setUp() {
  const { runMigrations } = await getMigrations(auth.options);
  await runMigrations();
  await call("POST", "/api/auth/sign-up/email", { body: { name: "Test Person", email: EMAIL, password: PASSWORD } });
  const cookie = await logIn();
  writeFileSync("token.txt", cookie);
  writeFileSync("request.http", `GET /api/auth/get-session HTTP/1.1\r\nHost: localhost:3000\r\nCookie: ${cookie}\r\n\r\n`);
}

async function measure() {
  const cookie = readFileSync("token.txt", "utf8");
  const stored = cheapHash(PASSWORD);
  const calls = { me: () => me(cookie), "log-in": logIn, "check-hash": () => timingSafeEqual(stored, cheapHash(PASSWORD)) };
  await me(cookie);
  process.stdout.write("ready\n");
  for await (const line of createInterface({ input: process.stdin })) {
    const [name, times] = line.split(" ");
    const start = performance.now();
    for (let i = 0; i < Number(times); i++) await calls[name]();
    process.stdout.write(`${(performance.now() - start) / Number(times) / 1000}\n`);
  }
}

const [command, port] = process.argv.slice(2);
if (command === "set-up") await setUp();
else if (command === "serve") createServer(toNodeHandler(auth)).listen(Number(port), "127.0.0.1");
else await measure();
