// Peer: Node with `ws`, and `redis` for what is published.
//
// Checks each token as `jsonwebtoken` does, answers as a hub would, with constants, and sends each
// publish to a set of sockets in a loop. The secret is TAPECAST_JWT_SECRET.
//
//     node node_server.mjs PORT VALKEY_SOCKET NAME
import { createSecretKey } from "node:crypto";
import { createServer } from "node:http";

import jwt from "jsonwebtoken";
import { createClient } from "redis";
import { WebSocketServer } from "ws";

const [port, path, name] = process.argv.slice(2);
// As a key: jsonwebtoken tries a string as a public key first, at 0.3 ms for each token.
const secret = createSecretKey(Buffer.from(process.env.TAPECAST_JWT_SECRET));

const WELCOME = '{"type":"welcome","session":"peer","heartbeat_ms":5000,"version":"0"}';
const POSITION = '"epoch":"kT9a","seq":1,"tag":"9fa3c01b"';
const DATA =
  '{"balance":"100000.00","equity":"100250.50","available":"90000.00",' +
  '"exposure":"10000.00","currency":"USD"}';
const reply = (id, channel) =>
  `{"id":${id},"result":{"channel":"${channel}",${POSITION},"recovered":false}}`;
const snapshot = (channel) =>
  `{"channel":"${channel}","type":"snapshot",${POSITION},"ts":1750000000000000,"data":${DATA}}`;

const subscribers = new Set();
const server = new WebSocketServer({
  noServer: true,
  perMessageDeflate: false,
  handleProtocols: () => "tapecast.v1",
});
server.on("connection", (socket) => {
  socket.send(WELCOME);
  socket.on("message", (text) => {
    const { id, params } = JSON.parse(text);
    socket.send(reply(id, params.channel));
    socket.send(snapshot(params.channel));
    subscribers.add(socket);
  });
  socket.on("close", () => subscribers.delete(socket));
  socket.on("error", () => subscribers.delete(socket));
});

const http = createServer();
http.on("upgrade", (request, socket, head) => {
  try {
    const token = request.headers.authorization.replace("Bearer ", "");
    jwt.verify(token, secret, { algorithms: ["HS256"] });
  } catch {
    socket.end("HTTP/1.1 401 Unauthorized\r\n\r\n");
    return;
  }
  server.handleUpgrade(request, socket, head, (opened) => server.emit("connection", opened));
});
http.listen({ host: "127.0.0.1", port: Number(port), backlog: 4096 });

const valkey = createClient({ socket: { path } });
await valkey.connect();
await valkey.subscribe(
  name,
  (payload) => {
    for (const socket of subscribers) socket.send(payload, { binary: false });
  },
  true, // the payload as a Buffer, so that it is encoded once
);
