import http from 'node:http';
import https from 'node:https';

/** The keep-alive connections to one endpoint. */
export class Connections {
  #agents: { 'http:'?: http.Agent; 'https:'?: https.Agent } = {};

  /** Returns the agent for a URL's protocol. */
  agentFor({ protocol }: URL): http.Agent {
    if (protocol === 'https:') {
      this.#agents['https:'] ??= new https.Agent({ keepAlive: true });
      return this.#agents['https:'];
    }
    this.#agents['http:'] ??= new http.Agent({ keepAlive: true });
    return this.#agents['http:'];
  }

  /** Whether there may be open connections. */
  get isOpen(): boolean {
    return Object.keys(this.#agents).length > 0;
  }

  close(): void {
    for (const agent of Object.values(this.#agents)) agent.destroy();
    this.#agents = {};
  }
}
