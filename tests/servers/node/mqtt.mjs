// A broker for tests: prints each message that a client publishes, each will and each client that
// comes or goes, as one line of JSON. The first line has the port. It ends when its standard input
// closes.
import { createServer } from "node:net";
import { Aedes } from "aedes";

const [port = "0"] = process.argv.slice(2);
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
const server = createServer(aedes.handle);
server.listen(Number(port), "127.0.0.1", () => say({ port: server.address().port }));
process.stdin.on("end", () => process.exit()).resume();
