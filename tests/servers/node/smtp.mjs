// A mail server for tests: prints each letter as one line of JSON, parsed by mailparser. The first
// line has the port. It knows one user, rejects nobody@…, and ends when its standard input closes. The
// second argument may say how it refuses everything: "greets with 554", or "550 5.7.1"; or how it
// encrypts, with the files of a certificate and its key: "smtps", or "starttls".
import { readFileSync } from "node:fs";
import { SMTPServer } from "smtp-server";
import { simpleParser } from "mailparser";

const [port = "0", mode, certificate, key] = process.argv.slice(2);
const files = certificate ? { cert: readFileSync(certificate), key: readFileSync(key) } : {};

const refused = (code, text = "refused") => Object.assign(new Error(text), { responseCode: code });

const server = new SMTPServer({
  authOptional: true,
  allowInsecureAuth: true,
  hideSTARTTLS: mode !== "starttls",
  secure: mode === "smtps",
  ...files,
  disableReverseLookup: true,
  onConnect(_session, done) {
    done(mode === "greets with 554" ? refused(554, "no service here") : null);
  },
  onAuth({ username, password }, _session, done) {
    const known = username === "rollcall" && password === "s3cret";
    done(known ? null : refused(535), { user: username });
  },
  onRcptTo({ address }, _session, done) {
    if (mode === "550 5.7.1") return done(refused(550, "5.7.1 relaying denied"));
    done(address.startsWith("nobody@") ? refused(550, "5.1.1 no such user") : null);
  },
  onData(stream, session, done) {
    simpleParser(stream).then((mail) => {
      console.log(JSON.stringify({
        user: session.user ?? null,
        encrypted: session.secure,
        from: mail.from.value,
        to: mail.to.value,
        recipients: session.envelope.rcptTo.map((one) => one.address),
        subject: mail.subject,
        headers: mail.headerLines.map((line) => line.key),
        id: mail.messageId,
        text: mail.text,
        html: mail.html,
      }));
      done();
    }, done);
  },
});

server.on("error", (error) => console.error(error.message));
server.listen(Number(port), "127.0.0.1", () => {
  console.log(JSON.stringify({ port: server.server.address().port }));
});
process.stdin.on("end", () => process.exit()).resume();
