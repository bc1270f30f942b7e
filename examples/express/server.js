// Express: an app that knows nothing of mockware. How to put mocks in front of it: ../README.md.

import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { setTimeout as pause } from "node:timers/promises";

import express from "express";
import { WebSocketServer } from "ws";

const app = express();
const server = createServer(app);

app.get("/healthz", (request, response) => {
  response.type("text/plain").send("ok");
});

app.get("/hello", (request, response) => {
  response.json({ hello: "world" });
});

app.post("/reports", express.raw({ type: () => true, limit: "10mb" }), (request, response) => {
  response.status(201).json({ created: request.body?.length ?? 0 });
});

app.get("/stream", async (request, response) => {
  response.type("text/plain");
  for (let number = 0; number < 5; number++) {
    if (number > 0) await pause(200);
    response.write(`line ${number}\n`);
  }
  response.end();
});

app.post("/upload", async (request, response) => {
  const digest = createHash("sha256");
  let received = 0;
  for await (const piece of request) {
    received += piece.length;
    digest.update(piece);
  }
  response.json({ received, sha256: digest.digest("hex") });
});

const sockets = new WebSocketServer({
  server,
  path: "/ws",
  handleProtocols: (offered) => (offered.has("echo") ? "echo" : false),
});

sockets.on("connection", (socket) => {
  socket.on("error", console.error);
  socket.on("message", (message, isBinary) => {
    if (isBinary) socket.close(1003, "text only");
    else socket.send(message.toString());
  });
});

server.listen(Number(process.env.PORT ?? 3000), "127.0.0.1");
