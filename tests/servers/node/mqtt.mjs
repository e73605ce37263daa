// A broker for tests: prints each message that a client publishes, each will and each client that
// comes or goes, as one line of JSON. The first line has the port. It ends when its standard input
// closes. With "tls" and the files of a certificate and its key, it encrypts.
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { Aedes } from "aedes";

const [port = "0", tls, certificate, key] = process.argv.slice(2);
const say = (line) => console.log(JSON.stringify(line));

const aedes = await Aedes.createBroker({
  authenticate(_client, username, password, done) {
    done(null, username === "rollcall" && password?.toString() === "s3cret");
  },
});
aedes.on("clientReady", (client) => say({ came: client.id }));
aedes.on("clientDisconnect", (client) => say({ left: client.id }));
aedes.on("publish", (packet) => {
  if (!packet.topic.startsWith("$SYS")) {
    say({ topic: packet.topic, payload: packet.payload.toString(), retain: packet.retain });
  }
});
const server = tls
  ? createTlsServer({ cert: readFileSync(certificate), key: readFileSync(key) }, aedes.handle)
  : createServer(aedes.handle);
server.listen(Number(port), "127.0.0.1", () => say({ port: server.address().port }));
process.stdin.on("end", () => process.exit()).resume();
