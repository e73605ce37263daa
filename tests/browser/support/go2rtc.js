// A fake go2rtc with the endpoints that Rollcall uses: named streams, each a film that plays until it is stopped.

import { once } from 'node:events';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const FRAME_MS = 100;

export class Go2rtc {
  /** Films by stream: JPEGs that repeat; an empty film for a camera that is down. @type {Map<string, Buffer[]>} */
  films = new Map();
  #frames = 0;

  static async start() {
    const go2rtc = new Go2rtc();
    go2rtc.server = createServer((request, response) => go2rtc.#answer(request, response)).listen(0, '127.0.0.1');
    await once(go2rtc.server, 'listening');
    go2rtc.origin = `http://127.0.0.1:${go2rtc.server.address().port}`;
    return go2rtc;
  }

  async end() {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }

  async #answer(request, response) {
    const url = new URL(request.url, this.origin);
    const name = url.searchParams.get('src');
    if (url.pathname === '/api/streams') {
      const streams = Object.fromEntries([...this.films.keys()].map((stream) => [stream, { producers: [], consumers: [] }]));
      response.setHeader('Content-Type', 'application/json').end(JSON.stringify(streams));
    } else if (url.pathname === '/api/stream.mjpeg' && this.films.has(name)) {
      await this.#play(name, response);
    } else if (url.pathname === '/api/frame.jpeg' && this.films.has(name)) {
      // For a camera that is down, go2rtc answers 200 with an empty body.
      response.setHeader('Content-Type', 'image/jpeg').end(this.#frame(name));
    } else {
      response.writeHead(404).end();
    }
  }

  async #play(name, response) {
    response.writeHead(200, { 'Content-Type': 'multipart/x-mixed-replace; boundary=frame' });
    response.flushHeaders();
    for (let frame = this.#frame(name); frame && !response.destroyed; frame = this.#frame(name)) {
      response.write(`--frame\r\nContent-Type: image/jpeg\r\nContent-Length: ${frame.length}\r\n\r\n`);
      response.write(frame);
      response.write('\r\n');
      await sleep(FRAME_MS);
    }
    response.end();
  }

  /** Returns the next frame. No two are equal, as from a real sensor; browsers ignore the bytes after the picture. */
  #frame(name) {
    const film = this.films.get(name);
    if (film.length === 0) return undefined;
    this.#frames += 1;
    return Buffer.concat([film[this.#frames % film.length], Buffer.from(String(this.#frames))]);
  }
}
