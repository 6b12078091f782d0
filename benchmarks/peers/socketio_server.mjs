// Peer: Socket.IO on Node, in its defaults but for the transport: WebSocket alone.
//
// Checks each token as `jsonwebtoken` does, in a middleware; who subscribes joins a room, which
// each publish is emitted to. The secret is TAPECAST_JWT_SECRET.
//
//     node socketio_server.mjs PORT VALKEY_SOCKET NAME
import { createSecretKey } from "node:crypto";
import { createServer } from "node:http";

import jwt from "jsonwebtoken";
import { createClient } from "redis";
import { Server } from "socket.io";

const [port, path, name] = process.argv.slice(2);
// As a key: jsonwebtoken tries a string as a public key first, at 0.3 ms for each token.
const secret = createSecretKey(Buffer.from(process.env.TAPECAST_JWT_SECRET));

const POSITION = { epoch: "kT9a", seq: 1, tag: "9fa3c01b" };
const DATA = {
  balance: "100000.00",
  equity: "100250.50",
  available: "90000.00",
  exposure: "10000.00",
  currency: "USD",
};

const http = createServer();
const io = new Server(http, { transports: ["websocket"], serveClient: false });
io.use((socket, next) => {
  try {
    const token = socket.handshake.headers.authorization.replace("Bearer ", "");
    jwt.verify(token, secret, { algorithms: ["HS256"] });
    next();
  } catch (error) {
    next(error);
  }
});
io.on("connection", (socket) => {
  socket.on("subscribe", ({ channel }, acknowledge) => {
    socket.join("subscribers");
    acknowledge({ channel, ...POSITION, recovered: false });
    socket.emit("snapshot", { channel, type: "snapshot", ...POSITION, data: DATA });
  });
});
http.listen({ host: "127.0.0.1", port: Number(port), backlog: 4096 });

const valkey = createClient({ socket: { path } });
await valkey.connect();
await valkey.subscribe(name, (payload) => {
  io.to("subscribers").emit("update", JSON.parse(payload));
});
