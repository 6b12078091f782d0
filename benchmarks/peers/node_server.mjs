// Peer: Node with `ws`, and `redis` for what is published.
//
// Answers as a hub would, with constants, and sends each publish to a set of sockets in a loop.
// No token is checked: fan-out alone is measured.
//
//     node node_server.mjs PORT VALKEY_SOCKET NAME
import { createClient } from "redis";
import { WebSocketServer } from "ws";

const [port, path, name] = process.argv.slice(2);

const WELCOME = '{"type":"welcome","session":"peer","heartbeat_ms":5000,"version":"0"}';
const POSITION = '"epoch":"kT9a","seq":1,"tag":"9fa3c01b"';
const reply = (id, channel) =>
  `{"id":${id},"result":{"channel":"${channel}",${POSITION},"recovered":false}}`;
const snapshot = (channel) =>
  `{"channel":"${channel}","type":"snapshot",${POSITION},"ts":1750000000000000,"data":{}}`;

const subscribers = new Set();
const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(port),
  backlog: 4096,
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

const valkey = createClient({ socket: { path } });
await valkey.connect();
await valkey.subscribe(
  name,
  (payload) => {
    for (const socket of subscribers) socket.send(payload, { binary: false });
  },
  true, // the payload as a Buffer, so that it is encoded once
);
