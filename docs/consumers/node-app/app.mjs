// Shows how an app outlives the reset of its token, with Node's standard library alone.
//
// It uses the credential for the ttl that Vault names. When the provider answers 401 before that, it waits until Vault has another
// one, and repeats the request. The class Credentials has all of it; the rest calls impact.com at an interval and logs how that went.
//
//	VAULT_ADDR=https://vault.acme.example:8200 VAULT_TOKEN=… node docs/consumers/node-app/app.mjs
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

/** The current credential, for any number of requests at the same time. */
class Credentials {
  #path;
  #kept;
  #until = 0;
  #waiting; // for another credential: whoever comes meanwhile waits as well, and as long

  constructor(path) {
    this.#path = path;
  }

  /** Returns the credential, read from Vault if the ttl of the last reading is over. */
  async current() {
    if (this.#waiting) return this.#waiting;
    return performance.now() < this.#until ? this.#kept : this.#read();
  }

  /**
   * Returns a credential other than the one that the provider refused. Nobody sends the refused one meanwhile: after a reset the
   * new value comes from a person, who may take a while. Values are told apart by the fingerprint; versions are counted anew when a
   * backup of Vault is restored.
   */
  async after(refused, deadline) {
    if (this.#kept.fingerprint !== refused.fingerprint) return this.#kept;
    this.#waiting ??= this.#poll(refused, deadline).finally(() => {
      this.#waiting = undefined;
    });
    return this.#waiting;
  }

  async #poll(refused, deadline) {
    for (let pause = 250; ; pause = Math.min(2 * pause, 5000)) {
      const read = await this.#read();
      if (read.fingerprint !== refused.fingerprint) return read;
      if (performance.now() + pause > deadline) {
        throw new Error(`the provider refuses version ${refused.version}, and Vault has no other`);
      }
      await sleep(pause);
    }
  }

  async #read() {
    const response = await fetch(`${process.env.VAULT_ADDR}/v1/${this.#path}`, {
      headers: { 'X-Vault-Token': process.env.VAULT_TOKEN },
      signal: AbortSignal.timeout(30_000),
    });
    if (!response.ok) throw new Error(`Vault answers ${response.status}`);
    this.#kept = (await response.json()).data;
    this.#until = performance.now() + 1000 * this.#kept.ttl;
    return this.#kept;
  }
}

/** Requests a resource of impact.com, and returns the status and the credential that it took. */
async function get(credentials, resource, deadline) {
  let used = await credentials.current();
  for (;;) {
    const pair = Buffer.from(`${used.account_sid}:${used.auth_token}`).toString('base64');
    const response = await fetch(used.account_url + resource, {
      headers: { Authorization: `Basic ${pair}`, Accept: 'application/json' }, // impact.com's default is XML
      signal: AbortSignal.timeout(30_000),
    });
    await response.arrayBuffer();
    if (response.status !== 401) return { status: response.status, used };
    console.log(`version ${used.version} is refused; waiting for another one`);
    used = await credentials.after(used, deadline);
  }
}

const { values: options } = parseArgs({
  options: {
    path: { type: 'string', default: 'adtokens/creds/acme-rw' }, // of the credential in Vault
    interval: { type: 'string', default: '60' }, // seconds between two requests
    patience: { type: 'string', default: '60' }, // longest time to wait for a credential that the provider takes
  },
});
const credentials = new Credentials(options.path);
for (;;) {
  try {
    const { status, used } = await get(credentials, '/CompanyInformation', performance.now() + 1000 * options.patience);
    console.log(`version ${used.version}: ${status}`);
  } catch (error) {
    console.log(`failed: ${error.message}`);
  }
  await sleep(1000 * options.interval);
}
