"""Shows how an app outlives the reset of its token, with Python's standard library alone.

It uses the credential for the ttl that Vault names. When the provider answers 401 before that, it waits until Vault has another
one, and repeats the request. The class Credentials has all of it; the rest calls impact.com at an interval and logs how that went.

    VAULT_ADDR=https://vault.acme.example:8200 VAULT_TOKEN=… python3 docs/consumers/python-app/app.py
"""

import argparse
import base64
import json
import os
import threading
import time
import urllib.error
import urllib.request


class Credentials:
    """The current credential, for any number of threads."""

    def __init__(self, path):
        self._path, self._lock = path, threading.Lock()
        self._kept, self._until = None, 0.0

    def current(self):
        """Returns the credential, read from Vault if the ttl of the last reading is over."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._read()
            return self._kept

    def after(self, refused, deadline):
        """Returns a credential other than the one that the provider refused.

        Nobody sends the refused one meanwhile: after a reset the new value comes from a person, who may take a while. Values
        are told apart by the fingerprint; versions are counted anew when a backup of Vault is restored.
        """
        with self._lock:
            pause = 0.25
            while self._kept["fingerprint"] == refused["fingerprint"]:
                self._read()
                if self._kept["fingerprint"] != refused["fingerprint"]:
                    break
                if time.monotonic() + pause > deadline:
                    raise TimeoutError(f"the provider refuses version {refused['version']}, and Vault has no other")
                time.sleep(pause)
                pause = min(2 * pause, 5)
            return self._kept

    def _read(self):
        request = urllib.request.Request(
            f"{os.environ['VAULT_ADDR']}/v1/{self._path}", headers={"X-Vault-Token": os.environ["VAULT_TOKEN"]}
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            self._kept = json.load(response)["data"]
        self._until = time.monotonic() + self._kept["ttl"]


def get(credentials, resource, deadline):
    """Requests a resource of impact.com, and returns the status and the credential that it took."""
    used = credentials.current()
    while True:
        pair = base64.b64encode(f"{used['account_sid']}:{used['auth_token']}".encode()).decode()
        request = urllib.request.Request(
            used["account_url"] + resource,
            headers={"Authorization": f"Basic {pair}", "Accept": "application/json"},  # impact.com's default is XML
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, used
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != 401:
                return error.code, used
        print(f"version {used['version']} is refused; waiting for another one", flush=True)
        used = credentials.after(used, deadline)


def main():
    flags = argparse.ArgumentParser()
    flags.add_argument("--path", default="adtokens/creds/acme-rw", help="path of the credential in Vault")
    flags.add_argument("--interval", type=float, default=60, help="seconds between two requests")
    flags.add_argument("--patience", type=float, default=60, help="longest time to wait for a credential that the provider takes")
    options = flags.parse_args()
    credentials = Credentials(options.path)
    while True:
        try:
            status, used = get(credentials, "/CompanyInformation", time.monotonic() + options.patience)
            print(f"version {used['version']}: {status}", flush=True)
        except OSError as error:  # TimeoutError and URLError are of this kind
            print(f"failed: {error}", flush=True)
        time.sleep(options.interval)


if __name__ == "__main__":
    main()
